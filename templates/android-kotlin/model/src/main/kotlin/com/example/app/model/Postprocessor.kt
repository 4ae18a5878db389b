package com.example.app.model

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min

/** A class and its score. */
data class Scored(val label: String, val number: Int, val score: Double)

/** Left, top, right and bottom, in pixels. */
data class Box(val left: Double, val top: Double, val right: Double, val bottom: Double) {
    val area: Double get() = max(0.0, right - left) * max(0.0, bottom - top)

    /** Intersection over union. */
    fun overlap(other: Box): Double {
        val both = Box(max(left, other.left), max(top, other.top), min(right, other.right), min(bottom, other.bottom)).area
        val either = area + other.area - both
        return if (either > 0) both / either else 0.0
    }
}

/** Something that the model found; [box] lies in the picture that the model was given, before pre-processing. */
data class Detection(val box: Box, val what: Scored)

/** The class of each pixel of the model's picture, row by row. */
class ClassMap(val width: Int, val height: Int, val classes: IntArray)

/** The model's outputs become answers, as the contract says. Safe to share between threads. */
class Postprocessor(
    private val labels: List<String>,
    private val outputs: List<OutputInfo> = Contract.OUTPUTS,
    private val picture: PictureInput? = Contract.PICTURE,
) {
    fun label(number: Int): String = labels.getOrElse(number) { "class $number" }

    /** The highest score of the first output, after its activation; not a number where it is the number of a class. */
    fun topScore(found: List<Tensor>): Double =
        if (outputs[0].kind == Kind.CLASS) Double.NaN else activated(found[0], outputs[0].activation).maxOrNull() ?: Double.NaN

    /** Of a model that gives the best class's number alone: its label. */
    fun bestClass(found: List<Tensor>): String = label(found[0].toDoubles()[0].toInt())

    /** Of a classifier: at most [count] classes whose score reaches the contract's threshold, the best first. */
    fun classes(found: List<Tensor>, count: Int = 5): List<Scored> {
        val scores = activated(found[0], outputs[0].activation)
        val least = outputs[0].threshold ?: Double.NEGATIVE_INFINITY
        return scores.indices.sortedByDescending { scores[it] }.take(count)
            .filter { scores[it] >= least }.map { Scored(label(it), it, scores[it]) }
    }

    /**
     * Of a detector: each box with its best class, where that reaches the threshold; of two boxes of one class that
     * overlap by more than the contract says, the better one. The best first.
     */
    fun detections(found: List<Tensor>, framing: Framing): List<Detection> {
        val place = outputs.indexOfFirst { it.boxFormat != null }
        require(place >= 0) { "the model gives no boxes" }
        val candidates = candidates(found[place], found[place + 1], place).sortedByDescending { it.what.score }
        val kept = mutableListOf<Detection>()
        for (each in candidates) {
            val hidden = kept.any { it.what.number == each.what.number && it.box.overlap(each.box) > outputs[place].iouThreshold }
            if (!hidden) kept += each
        }
        return kept.map { Detection(inSource(it.box, framing), it.what) }
    }

    /** Of a segmenter: the class with the highest score at each pixel. */
    fun classMap(found: List<Tensor>): ClassMap {
        val place = outputs.indexOfFirst { it.kind == Kind.SEGMENTATION }
        require(place >= 0) { "the model segments nothing" }
        val (_, count, height, width) = found[place].shape.map { it.toInt() }
        val scores = found[place].toDoubles()
        val area = width * height
        val classes = IntArray(area) { pixel -> (0 until count).maxBy { scores[it * area + pixel] } }
        return ClassMap(width, height, classes)
    }

    private fun candidates(boxes: Tensor, scores: Tensor, place: Int): List<Detection> {
        val corners = boxes.toDoubles()
        val values = activated(scores, outputs[place + 1].activation)
        val count = corners.size / 4
        val classes = if (count == 0) 0 else values.size / count
        val least = outputs[place + 1].threshold ?: outputs[place].threshold ?: Double.NEGATIVE_INFINITY
        return (0 until count).mapNotNull { n ->
            val best = (0 until classes).maxBy { values[n * classes + it] }
            val score = values[n * classes + best]
            if (score < least) null else Detection(box(corners, 4 * n, outputs[place]), Scored(label(best), best, score))
        }
    }

    /** In pixels of the model's picture. */
    private fun box(values: DoubleArray, from: Int, info: OutputInfo): Box {
        val (a, b, c, d) = List(4) { values[from + it] }
        val found = when (info.boxFormat) {
            BoxFormat.XYWH -> Box(a, b, a + c, b + d)
            BoxFormat.CXCYWH -> Box(a - c / 2, b - d / 2, a + c / 2, b + d / 2)
            else -> Box(a, b, c, d)
        }
        if (!info.relative) return found
        val size = requireNotNull(picture) { "boxes from 0 to 1 need a picture's size" }
        return Box(found.left * size.width, found.top * size.height, found.right * size.width, found.bottom * size.height)
    }

    private fun inSource(box: Box, framing: Framing) = Box(
        (box.left - framing.offsetX) / framing.scaleX,
        (box.top - framing.offsetY) / framing.scaleY,
        (box.right - framing.offsetX) / framing.scaleX,
        (box.bottom - framing.offsetY) / framing.scaleY,
    )

    companion object {
        /** The values of [output] with the activation that the model leaves to the app; softmax is over the last axis. */
        fun activated(output: Tensor, activation: Activation): DoubleArray {
            val values = output.toDoubles()
            when (activation) {
                Activation.NONE -> return values
                Activation.SIGMOID -> for (n in values.indices) values[n] = sigmoid(values[n])
                Activation.SOFTMAX -> {
                    val row = output.shape.lastOrNull()?.toInt() ?: 1
                    for (first in values.indices step max(row, 1)) softmax(values, first, first + row)
                }
            }
            return values
        }

        /** By the exponential of a negative number only, so that nothing overflows. */
        private fun sigmoid(value: Double): Double {
            val power = exp(-abs(value))
            return (if (value >= 0) 1.0 else power) / (1.0 + power)
        }

        private fun softmax(values: DoubleArray, first: Int, end: Int) {
            var highest = Double.NEGATIVE_INFINITY
            for (n in first until end) highest = max(highest, values[n])
            var sum = 0.0
            for (n in first until end) {
                values[n] = exp(values[n] - highest)
                sum += values[n]
            }
            for (n in first until end) values[n] /= sum
        }
    }
}
