package com.example.app.model

/**
 * An 8-bit picture, upright.
 *
 * @property channels 1 (grey) or 3 (red, green, blue)
 * @property pixels row by row, the channels of a pixel side by side
 */
class Picture(val width: Int, val height: Int, val channels: Int, val pixels: ByteArray) {
    init {
        require(pixels.size == width * height * channels) { "${pixels.size} values are not $width x $height x $channels" }
    }

    /** Mirrored and turned as EXIF [orientation] (1 to 8) says; others leave the picture as it is. */
    fun upright(orientation: Int): Picture {
        if (orientation !in 2..8) return this
        val turned = orientation >= 5
        val wide = if (turned) height else width
        val high = if (turned) width else height
        val found = ByteArray(pixels.size)
        var goal = 0
        for (y in 0 until high) {
            for (x in 0 until wide) {
                var fromX = if (turned) y else x
                var fromY = if (turned) x else y
                if (orientation in FROM_RIGHT) fromX = width - 1 - fromX
                if (orientation in FROM_BELOW) fromY = height - 1 - fromY
                pixels.copyInto(found, goal, channels * (fromY * width + fromX), channels * (fromY * width + fromX + 1))
                goal += channels
            }
        }
        return Picture(wide, high, channels, found)
    }

    /** Turned clockwise by [degrees]: 0, 90, 180 or 270, as a camera tells it of its frames. */
    fun rotated(degrees: Int): Picture = upright(requireNotNull(ROTATIONS[degrees]) { "$degrees is no quarter turn" })

    /** In grey or in colour, as [depth] (1 or 3) says. */
    fun withChannels(depth: Int): Picture {
        if (depth == channels) return this
        val found = ByteArray(width * height * depth)
        if (depth == 3) {
            for (n in found.indices) found[n] = pixels[n / 3]
        } else {
            for (n in found.indices) found[n] = grey(pixels.at(3 * n), pixels.at(3 * n + 1), pixels.at(3 * n + 2))
        }
        return Picture(width, height, depth, found)
    }

    /** The mean of all values, from 0 to 255. */
    fun mean(): Double = pixels.sumOf { it.toLong() and 0xFF }.toDouble() / pixels.size

    companion object {
        private val FROM_RIGHT = setOf(2, 3, 7, 8)
        private val FROM_BELOW = setOf(3, 4, 6, 7)
        private val ROTATIONS = mapOf(0 to 1, 90 to 6, 180 to 3, 270 to 8)

        /** Of colours as `Bitmap.getPixels` gives them: alpha, red, green, blue, not premultiplied; on white. */
        fun fromArgb(colors: IntArray, width: Int, height: Int): Picture {
            val found = ByteArray(3 * colors.size)
            for ((n, color) in colors.withIndex()) {
                val opacity = color ushr 24
                found[3 * n] = onWhite(color shr 16 and 0xFF, opacity)
                found[3 * n + 1] = onWhite(color shr 8 and 0xFF, opacity)
                found[3 * n + 2] = onWhite(color and 0xFF, opacity)
            }
            return Picture(width, height, 3, found)
        }

        private fun onWhite(value: Int, opacity: Int): Byte {
            val sum = 128 * (value * opacity + 255 * (255 - opacity)) + 16384
            return ((sum shr 8) + sum shr 8 shr 7).toByte()
        }

        private fun grey(red: Int, green: Int, blue: Int): Byte =
            (19595 * red + 38470 * green + 7471 * blue + 32768 shr 16).toByte()
    }
}

internal fun ByteArray.at(place: Int): Int = this[place].toInt() and 0xFF
