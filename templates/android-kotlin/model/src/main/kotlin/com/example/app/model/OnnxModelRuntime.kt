package com.example.app.model

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import android.content.Context
import java.nio.ByteBuffer

internal fun openRuntime(context: Context): ModelRuntime = OnnxModelRuntime(mappedAsset(context, Contract.MODEL_FILE))

/** The model in ONNX Runtime, on the CPU. */
internal class OnnxModelRuntime(model: ByteBuffer) : ModelRuntime {
    private val environment = OrtEnvironment.getEnvironment().apply { setTelemetry(false) }
    private val session = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(Contract.THREADS)
        environment.createSession(model, options)
    }

    override val about: String = "ONNX Runtime ${environment.version}, CPU threads: ${Contract.THREADS}"

    override fun run(inputs: List<Tensor>): List<Tensor> {
        val fed = mutableMapOf<String, OnnxTensor>()
        try {
            for ((name, tensor) in session.inputNames.zip(inputs)) fed[name] = wrapped(tensor)
            session.run(fed).use { result -> return result.map { (_, value) -> copied(value as OnnxTensor) } }
        } finally {
            fed.values.forEach(OnnxTensor::close)
        }
    }

    override fun close() = session.close()

    private fun wrapped(tensor: Tensor): OnnxTensor = OnnxTensor.createTensor(environment, tensor.data, tensor.shape, javaType(tensor.type))

    /** What the session gave, in memory of our own: its own is gone once the result is closed. */
    private fun copied(value: OnnxTensor): Tensor {
        val info = value.info as TensorInfo
        val type = DType.entries.firstOrNull { javaType(it) == info.type } ?: throw ModelException("an output is of type ${info.type}")
        val from = value.byteBuffer
        return Tensor(type, info.shape, Tensor.allocate(from.remaining()).put(from).apply { rewind() })
    }

    private fun javaType(type: DType): OnnxJavaType = when (type) {
        DType.FLOAT32 -> OnnxJavaType.FLOAT
        DType.FLOAT16 -> OnnxJavaType.FLOAT16
        DType.INT32 -> OnnxJavaType.INT32
        DType.INT64 -> OnnxJavaType.INT64
        DType.UINT8 -> OnnxJavaType.UINT8
        DType.BOOL -> OnnxJavaType.BOOL
    }
}
