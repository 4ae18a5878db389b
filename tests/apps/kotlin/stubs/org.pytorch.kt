package org.pytorch

import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer

enum class DType { UINT8, INT8, INT32, FLOAT32, INT64, FLOAT64 }

class Module internal constructor() {
    fun forward(vararg inputs: IValue): IValue = error("a stub of $inputs")

    fun destroy(): Unit = error("a stub")
}

class LiteModuleLoader {
    companion object {
        @JvmStatic
        fun load(modelPath: String): Module = error("a stub of $modelPath")
    }
}

class IValue private constructor() {
    val isTuple: Boolean get() = error("a stub")

    fun toTensor(): Tensor = error("a stub")

    fun toTuple(): Array<IValue> = error("a stub")

    companion object {
        @JvmStatic
        fun from(tensor: Tensor): IValue = error("a stub of $tensor")
    }
}

abstract class Tensor {
    abstract fun dtype(): DType

    fun shape(): LongArray = error("a stub")

    fun numel(): Long = error("a stub")

    val dataAsFloatArray: FloatArray get() = error("a stub")
    val dataAsIntArray: IntArray get() = error("a stub")
    val dataAsLongArray: LongArray get() = error("a stub")
    val dataAsUnsignedByteArray: ByteArray get() = error("a stub")

    companion object {
        @JvmStatic
        fun fromBlob(data: FloatBuffer, shape: LongArray): Tensor = error("a stub of $data and $shape")

        @JvmStatic
        fun fromBlob(data: IntBuffer, shape: LongArray): Tensor = error("a stub of $data and $shape")

        @JvmStatic
        fun fromBlob(data: LongBuffer, shape: LongArray): Tensor = error("a stub of $data and $shape")

        @JvmStatic
        fun fromBlobUnsigned(data: ByteBuffer, shape: LongArray): Tensor = error("a stub of $data and $shape")
    }
}
