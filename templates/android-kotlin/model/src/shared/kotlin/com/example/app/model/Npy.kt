package com.example.app.model

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** NumPy's files, version 1.0, little endian, in C order (numpy.lib.format). */
object Npy {
    private val TYPES = mapOf(
        "<f4" to DType.FLOAT32, "<f2" to DType.FLOAT16, "<i4" to DType.INT32, "<i8" to DType.INT64,
        "|u1" to DType.UINT8, "|b1" to DType.BOOL,
    )
    private val DESCR = Regex("'descr': *'([^']+)'")
    private val SHAPE = Regex("'shape': *\\(([^)]*)\\)")

    fun parse(bytes: ByteArray): Tensor {
        require(bytes.size > 10 && bytes[0] == 0x93.toByte() && bytes[6] == 1.toByte()) { "it is no NumPy file of version 1.0" }
        val length = ByteBuffer.wrap(bytes, 8, 2).order(ByteOrder.LITTLE_ENDIAN).short.toInt() and 0xFFFF
        val head = String(bytes, 10, length, Charsets.ISO_8859_1)
        require("'fortran_order': False" in head) { "it is in Fortran's order" }
        val descr = requireNotNull(DESCR.find(head)).groupValues[1]
        val type = requireNotNull(TYPES[descr]) { "$descr is no type of a contract" }
        val numbers = requireNotNull(SHAPE.find(head)).groupValues[1]
        val shape = numbers.split(',').filter { it.isNotBlank() }.map { it.trim().toLong() }.toLongArray()
        val data = Tensor.allocate(bytes.size - 10 - length).put(bytes, 10 + length, bytes.size - 10 - length)
        data.rewind()
        return Tensor(type, shape, data)
    }

    /** The entries along the first axis, which it loses. */
    fun entries(stack: Tensor): List<Tensor> {
        val shape = stack.shape.drop(1).toLongArray()
        val size = stack.data.remaining() / stack.shape[0].toInt()
        return List(stack.shape[0].toInt()) { n ->
            val part = stack.data.duplicate().apply { position(n * size).limit((n + 1) * size) }
            Tensor(stack.type, shape, Tensor.allocate(size).put(part).apply { rewind() })
        }
    }
}
