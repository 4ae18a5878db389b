package com.example.app.model

import android.content.Context
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.DType as TorchType
import org.pytorch.Tensor as TorchTensor

internal fun openRuntime(context: Context): ModelRuntime = PyTorchModelRuntime(copiedAsset(context, Contract.MODEL_FILE).path)

/** The model in PyTorch's lite interpreter, which upstream no longer maintains. */
internal class PyTorchModelRuntime(path: String) : ModelRuntime {
    private val module = LiteModuleLoader.load(path)

    override val about: String = "PyTorch lite, as many CPU threads as it chooses"

    override fun run(inputs: List<Tensor>): List<Tensor> {
        val fed = inputs.map { IValue.from(wrapped(it)) }.toTypedArray()
        val found = module.forward(*fed)
        return (if (found.isTuple) found.toTuple().toList() else listOf(found)).map { copied(it.toTensor()) }
    }

    override fun close() = module.destroy()

    private fun wrapped(tensor: Tensor): TorchTensor = when (tensor.type) {
        DType.FLOAT32 -> TorchTensor.fromBlob(tensor.data.floats(), tensor.shape)
        DType.INT32 -> TorchTensor.fromBlob(tensor.data.ints(), tensor.shape)
        DType.INT64 -> TorchTensor.fromBlob(tensor.data.longs(), tensor.shape)
        DType.UINT8 -> TorchTensor.fromBlobUnsigned(tensor.data, tensor.shape)
        else -> throw ModelException("PyTorch's package for Android takes no ${tensor.type}")
    }

    private fun copied(value: TorchTensor): Tensor = when (value.dtype()) {
        TorchType.FLOAT32 -> filled(value, DType.FLOAT32) { it.data.floats().put(value.dataAsFloatArray) }
        TorchType.INT32 -> filled(value, DType.INT32) { it.data.ints().put(value.dataAsIntArray) }
        TorchType.INT64 -> filled(value, DType.INT64) { it.data.longs().put(value.dataAsLongArray) }
        TorchType.UINT8 -> filled(value, DType.UINT8) { it.data.duplicate().put(value.dataAsUnsignedByteArray) }
        else -> throw ModelException("an output is of type ${value.dtype()}")
    }

    private fun filled(value: TorchTensor, type: DType, copy: (Tensor) -> Unit): Tensor {
        val data = Tensor.allocate(value.numel().toInt() * type.bytes)
        return Tensor(type, value.shape(), data).also(copy)
    }
}
