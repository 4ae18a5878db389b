package com.example.app.model

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import kotlin.math.withSign

/**
 * Resampling of 8-bit pictures in the arithmetic of Pillow (src/libImaging/Resample.c): along the width first, then
 * along the height, each in fixed point of 22 bits and rounded to 8 bits.
 */
internal object Resample {
    private const val BITS = 22
    private const val HALF = 1 shl BITS - 1
    private const val CUBIC = -0.5

    fun resized(picture: Picture, width: Int, height: Int, filter: Filter, antialias: Boolean): Picture {
        val wide = if (width == picture.width) picture else alongWidth(picture, windows(picture.width, width, filter, antialias))
        return if (height == wide.height) wide else alongHeight(wide, windows(wide.height, height, filter, antialias))
    }

    /** Of one output position: the first input position that counts, and the weights, in 2^-22. */
    private class Window(val first: Int, val weights: IntArray)

    private fun windows(size: Int, wanted: Int, filter: Filter, antialias: Boolean): List<Window> {
        if (filter == Filter.NEAREST) return nearest(size, wanted)
        val scale = size.toDouble() / wanted
        val stretch = if (antialias) max(scale, 1.0) else 1.0
        val support = (if (filter == Filter.BILINEAR) 1.0 else 2.0) * stretch
        return List(wanted) { place ->
            val center = (place + 0.5) * scale
            val first = max(0, (center - support + 0.5).toInt())
            val end = min(size, (center + support + 0.5).toInt())
            val near = DoubleArray(end - first) { weight((first + it - center + 0.5) * (1.0 / stretch), filter) }
            var total = 0.0
            for (each in near) total += each
            Window(first, IntArray(near.size) { (near[it] / total * (1 shl BITS) + 0.5.withSign(near[it])).toInt() })
        }
    }

    private fun nearest(size: Int, wanted: Int): List<Window> {
        val step = size.toDouble() / wanted
        var position = step * 0.5
        return List(wanted) { Window(position.toInt(), intArrayOf(1 shl BITS)).also { position += step } }
    }

    private fun weight(signed: Double, filter: Filter): Double {
        val x = abs(signed)
        if (filter == Filter.BILINEAR) return if (x < 1.0) 1.0 - x else 0.0
        if (x < 1.0) return ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
        return if (x < 2.0) (((x - 5.0) * x + 8.0) * x - 4.0) * CUBIC else 0.0
    }

    private fun alongWidth(picture: Picture, windows: List<Window>): Picture {
        val depth = picture.channels
        val found = ByteArray(windows.size * picture.height * depth)
        var goal = 0
        for (y in 0 until picture.height) {
            for (window in windows) {
                for (c in 0 until depth) {
                    found[goal++] = summed(picture.pixels, window, (y * picture.width + window.first) * depth + c, depth)
                }
            }
        }
        return Picture(windows.size, picture.height, depth, found)
    }

    private fun alongHeight(picture: Picture, windows: List<Window>): Picture {
        val row = picture.width * picture.channels
        val found = ByteArray(windows.size * row)
        var goal = 0
        for (window in windows) {
            for (x in 0 until row) found[goal++] = summed(picture.pixels, window, window.first * row + x, row)
        }
        return Picture(picture.width, windows.size, picture.channels, found)
    }

    private fun summed(pixels: ByteArray, window: Window, origin: Int, step: Int): Byte {
        var sum = HALF
        var place = origin
        for (weight in window.weights) {
            sum += pixels.at(place) * weight
            place += step
        }
        return (sum shr BITS).coerceIn(0, 255).toByte()
    }
}
