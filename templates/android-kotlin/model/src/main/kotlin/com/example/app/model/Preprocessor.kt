package com.example.app.model

import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/**
 * Where the model's picture lies in the one it was made of: `x of the model = x of the source * scaleX + offsetX`.
 */
data class Framing(val scaleX: Double, val scaleY: Double, val offsetX: Double, val offsetY: Double)

/** A picture as the model sees it, in 8 bits. */
class Frame(val picture: Picture, val framing: Framing)

/**
 * Pictures become the tensor that the contract's [input] describes.
 *
 * The same arithmetic, in the same order, as when the model was calibrated and checked: change it, and the model sees
 * other numbers than those it was measured on. Safe to share between threads.
 */
class Preprocessor(private val input: PictureInput) {
    /** The float of each 8-bit level, a table a channel, rounded once from double precision. */
    private val tables: List<FloatArray> = List(input.depth) { channel ->
        val mean = input.mean.getOrElse(channel) { 0.0 }
        val std = input.std.getOrElse(channel) { 1.0 }
        FloatArray(256) { level -> ((((input.high - input.low) * level / 255.0 + input.low) - mean) / std).toFloat() }
    }

    /** [picture] in the contract's channels, resized, and cropped or padded to the contract's size. */
    fun frame(picture: Picture): Frame {
        val source = picture.withChannels(input.depth)
        return when (input.resize) {
            Resize.STRETCH -> placed(source, resized(source, input.width, input.height), 0, 0) { it }
            Resize.LETTERBOX -> letterboxed(source)
            Resize.SHORTER_SIDE -> byShorterSide(source)
        }
    }

    /** What the model takes for [frame], a batch of 1. */
    fun tensor(frame: Picture): Tensor {
        val depth = input.depth
        val area = input.width * input.height
        val shape = if (input.planes) longArrayOf(1, depth.toLong(), input.height.toLong(), input.width.toLong())
        else longArrayOf(1, input.height.toLong(), input.width.toLong(), depth.toLong())
        val type = if (input.bytes) DType.UINT8 else DType.FLOAT32
        val data = Tensor.allocate(area * depth * type.bytes)
        val floats = data.floats()
        for (n in 0 until area * depth) {
            val channel = if (input.blueFirst) depth - 1 - n % depth else n % depth
            val place = if (input.planes) channel * area + n / depth else n / depth * depth + channel
            if (input.bytes) data.put(place, frame.pixels[n]) else floats.put(place, tables[channel][frame.pixels.at(n)])
        }
        return Tensor(type, shape, data)
    }

    private fun resized(picture: Picture, width: Int, height: Int): Picture =
        Resample.resized(picture, width, height, input.filter, input.antialias)

    /** [made] is [source] resized; [change] lays it at ([left], [top]) of the model's picture. */
    private fun placed(source: Picture, made: Picture, left: Int, top: Int, change: (Picture) -> Picture): Frame {
        val scaleX = made.width.toDouble() / source.width
        val scaleY = made.height.toDouble() / source.height
        return Frame(change(made), Framing(scaleX, scaleY, left.toDouble(), top.toDouble()))
    }

    private fun letterboxed(source: Picture): Frame {
        val scale = min(input.width.toDouble() / source.width, input.height.toDouble() / source.height)
        val width = max(1, (source.width * scale + 0.5).toInt())
        val height = max(1, (source.height * scale + 0.5).toInt())
        val left = (input.width - width) / 2
        val top = (input.height - height) / 2
        return placed(source, resized(source, width, height), left, top) { copied(it, left, top, input.padValue.toByte()) }
    }

    /** As torchvision.transforms.functional.resize: the longer side is cut to a whole number. */
    private fun byShorterSide(source: Picture): Frame {
        val side = input.shorterSide
        val upright = source.width <= source.height
        val width = if (upright) side else ((side.toLong() * source.width).toDouble() / source.height).toInt()
        val height = if (upright) ((side.toLong() * source.height).toDouble() / source.width).toInt() else side
        // halves to the even number, as Python rounds
        val left = -round((width - input.width) / 2.0).toInt()
        val top = -round((height - input.height) / 2.0).toInt()
        return placed(source, resized(source, width, height), left, top) { copied(it, left, top, 0) }
    }

    /** [picture] laid at ([left], [top]) of a ground of the contract's size; what lies outside is cut off. */
    private fun copied(picture: Picture, left: Int, top: Int, ground: Byte): Picture {
        val depth = picture.channels
        val found = ByteArray(input.width * input.height * depth) { ground }
        val first = max(0, left)
        val end = min(input.width, left + picture.width)
        for (y in max(0, top) until min(input.height, top + picture.height)) {
            val from = ((y - top) * picture.width + first - left) * depth
            picture.pixels.copyInto(found, (y * input.width + first) * depth, from, from + (end - first) * depth)
        }
        return Picture(input.width, input.height, depth, found)
    }
}
