package com.example.app.model

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Types of numbers, by the contract's names. */
enum class DType(val bytes: Int) { FLOAT32(4), FLOAT16(2), INT32(4), INT64(8), UINT8(1), BOOL(1) }

/**
 * Numbers in row-major order, the batch dimension first.
 *
 * @property data direct, in the byte order of the device, from position 0 on; runtimes read it in place
 */
class Tensor(val type: DType, val shape: LongArray, val data: ByteBuffer) {
    val size: Int = shape.fold(1L) { product, each -> product * each }.toInt()

    init {
        require(data.isDirect && data.order() == ByteOrder.nativeOrder()) { "the buffer is not direct, or of another byte order" }
        require(data.remaining() == size * type.bytes) { "${data.remaining()} bytes are not ${shape.contentToString()} of $type" }
    }

    /** All values, widened; a Boolean is 0 or 1. */
    fun toDoubles(): DoubleArray = when (type) {
        DType.FLOAT32 -> data.floats().let { from -> DoubleArray(size) { from.get(it).toDouble() } }
        DType.FLOAT16 -> data.shorts().let { from -> DoubleArray(size) { halfToDouble(from.get(it).toInt() and 0xFFFF) } }
        DType.INT32 -> data.ints().let { from -> DoubleArray(size) { from.get(it).toDouble() } }
        DType.INT64 -> data.longs().let { from -> DoubleArray(size) { from.get(it).toDouble() } }
        DType.UINT8, DType.BOOL -> DoubleArray(size) { (data.get(it).toInt() and 0xFF).toDouble() }
    }

    companion object {
        /** A tensor of one and the same [value]. */
        fun filled(type: DType, shape: LongArray, value: Double): Tensor {
            val made = Tensor(type, shape, allocate(shape.fold(type.bytes.toLong()) { product, each -> product * each }.toInt()))
            when (type) {
                DType.FLOAT32 -> made.data.floats().let { to -> repeat(made.size) { to.put(it, value.toFloat()) } }
                DType.INT32 -> made.data.ints().let { to -> repeat(made.size) { to.put(it, value.toInt()) } }
                DType.INT64 -> made.data.longs().let { to -> repeat(made.size) { to.put(it, value.toLong()) } }
                DType.UINT8, DType.BOOL -> repeat(made.size) { made.data.put(it, value.toInt().toByte()) }
                DType.FLOAT16 -> require(value == 0.0) { "float16 can be filled with 0 only" }
            }
            return made
        }

        fun of(values: FloatArray, vararg shape: Long): Tensor {
            val bytes = allocate(values.size * DType.FLOAT32.bytes)
            bytes.floats().put(values)
            return Tensor(DType.FLOAT32, shape, bytes)
        }

        /** [bytes] of memory as a runtime reads them. */
        fun allocate(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
    }
}

private fun ByteBuffer.whole(): ByteBuffer = duplicate().order(ByteOrder.nativeOrder())

internal fun ByteBuffer.floats() = whole().asFloatBuffer()

internal fun ByteBuffer.shorts() = whole().asShortBuffer()

internal fun ByteBuffer.ints() = whole().asIntBuffer()

internal fun ByteBuffer.longs() = whole().asLongBuffer()

/** IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction. */
private fun halfToDouble(bits: Int): Double {
    val exponent = bits shr 10 and 0x1F
    val fraction = bits and 0x3FF
    val size = when (exponent) {
        0 -> Math.scalb(fraction.toDouble(), -24)
        0x1F -> if (fraction == 0) Double.POSITIVE_INFINITY else Double.NaN
        else -> Math.scalb((fraction or 0x400).toDouble(), exponent - 25)
    }
    return if (bits and 0x8000 == 0) size else -size
}
