package com.example.app.model

import android.content.Context
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.DType as TorchType
import org.pytorch.executorch.Tensor as TorchTensor

internal fun openRuntime(context: Context): ModelRuntime = ExecuTorchModelRuntime(copiedAsset(context, Contract.MODEL_FILE).path)

/** The model in ExecuTorch, with the XNNPACK delegate that its package brings. */
internal class ExecuTorchModelRuntime(path: String) : ModelRuntime {
    private val module = Module.load(path, Module.LOAD_MODE_MMAP, Contract.THREADS)

    override val about: String = "ExecuTorch, CPU threads: ${Contract.THREADS}"

    override fun run(inputs: List<Tensor>): List<Tensor> {
        val fed = inputs.map { EValue.from(wrapped(it)) }.toTypedArray()
        return module.forward(*fed).map { copied(it.toTensor()) }
    }

    override fun close() = module.close()

    private fun wrapped(tensor: Tensor): TorchTensor = when (tensor.type) {
        DType.FLOAT32 -> TorchTensor.fromBlob(tensor.data.floats(), tensor.shape)
        DType.FLOAT16 -> TorchTensor.fromBlob(tensor.data.shorts(), tensor.shape)
        DType.INT32 -> TorchTensor.fromBlob(tensor.data.ints(), tensor.shape)
        DType.INT64 -> TorchTensor.fromBlob(tensor.data.longs(), tensor.shape)
        DType.UINT8 -> TorchTensor.fromBlobUnsigned(tensor.data, tensor.shape)
        DType.BOOL -> throw ModelException("ExecuTorch's package for Android takes no Booleans")
    }

    /** What the module gave, in memory of our own: the next call writes over its own. */
    private fun copied(value: TorchTensor): Tensor = when (value.dtype()) {
        TorchType.FLOAT -> filled(value, DType.FLOAT32) { value.copyDataInto(it.data.floats()) }
        TorchType.HALF -> filled(value, DType.FLOAT16) { value.copyDataInto(it.data.shorts()) }
        TorchType.INT32 -> filled(value, DType.INT32) { value.copyDataInto(it.data.ints()) }
        TorchType.INT64 -> filled(value, DType.INT64) { value.copyDataInto(it.data.longs()) }
        TorchType.UINT8 -> filled(value, DType.UINT8) { value.copyDataIntoUnsigned(it.data.duplicate()) }
        else -> throw ModelException("an output is of type ${value.dtype()}")
    }

    private fun filled(value: TorchTensor, type: DType, copy: (Tensor) -> Unit): Tensor {
        val data = Tensor.allocate(value.numel().toInt() * type.bytes)
        return Tensor(type, value.shape(), data).also(copy)
    }
}
