package com.example.app.model

import java.nio.ByteBuffer

/** One plane of a camera's frame, as `android.media.Image.Plane` describes it; strides are in bytes. */
class Plane(val buffer: ByteBuffer, val rowStride: Int, val pixelStride: Int) {
    internal fun at(x: Int, y: Int): Int = buffer.get(y * rowStride + x * pixelStride).toInt() and 0xFF
}

/** A frame in YUV 4:2:0, full range, BT.601, as `ImageFormat.YUV_420_888` holds it; [u] and [v] have half the size. */
class YuvFrame(val width: Int, val height: Int, val y: Plane, val u: Plane, val v: Plane) {
    /** In RGB; all pixels of a block of four share its U and V. */
    fun toPicture(): Picture {
        val found = ByteArray(3 * width * height)
        var goal = 0
        for (row in 0 until height) {
            for (column in 0 until width) {
                val light = y.at(column, row)
                val blue = u.at(column / 2, row / 2) - 128
                val red = v.at(column / 2, row / 2) - 128
                found[goal++] = clipped(light + (91881 * red + 32768 shr 16))
                found[goal++] = clipped(light - (22554 * blue + 46802 * red + 32768 shr 16))
                found[goal++] = clipped(light + (116130 * blue + 32768 shr 16))
            }
        }
        return Picture(width, height, 3, found)
    }

    companion object {
        /** Of `ImageFormat.NV21`: all of Y, then V and U by turns. */
        fun nv21(bytes: ByteArray, width: Int, height: Int): YuvFrame {
            val row = (width + 1) / 2 * 2
            val chroma = width * height
            require(bytes.size == chroma + row * ((height + 1) / 2)) { "${bytes.size} bytes are no NV21 of $width x $height" }
            fun from(place: Int): ByteBuffer = ByteBuffer.wrap(bytes, place, bytes.size - place).slice()
            return YuvFrame(width, height, Plane(from(0), width, 1), Plane(from(chroma + 1), row, 2), Plane(from(chroma), row, 2))
        }

        private fun clipped(value: Int): Byte = value.coerceIn(0, 255).toByte()
    }
}
