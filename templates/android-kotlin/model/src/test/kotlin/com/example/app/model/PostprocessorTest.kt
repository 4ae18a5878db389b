package com.example.app.model

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class PostprocessorTest {
    private fun info(
        kind: Kind,
        activation: Activation = Activation.NONE,
        threshold: Double? = null,
        boxFormat: BoxFormat? = null,
    ) = OutputInfo("output", kind, activation, threshold, boxFormat, relative = false, iouThreshold = 0.5, units = "")

    @Test
    fun softmaxIsOverTheLastAxis() {
        val made = Postprocessor.activated(Tensor.of(floatArrayOf(1000f, 1000f, 0f, 1f), 2, 2), Activation.SOFTMAX)
        assertContentEquals(doubleArrayOf(0.5, 0.5), made.copyOf(2))
        assertEquals(1.0, made[2] + made[3], 1e-12)
        assertTrue(made[3] > made[2])
    }

    @Test
    fun sigmoidDoesNotOverflow() {
        val made = Postprocessor.activated(Tensor.of(floatArrayOf(-1000f, 0f, 1000f), 1, 3), Activation.SIGMOID)
        assertContentEquals(doubleArrayOf(0.0, 0.5, 1.0), made)
    }

    @Test
    fun classesBelowTheThresholdAreLeftOut() {
        val post = Postprocessor(listOf("a", "b", "c"), listOf(info(Kind.CLASSIFICATION, threshold = 0.2)))
        val found = post.classes(listOf(Tensor.of(floatArrayOf(0.1f, 0.7f, 0.2f), 1, 3)))
        assertEquals(listOf("b", "c"), found.map { it.label })
    }

    @Test
    fun aClassSNumberBecomesItsLabel() {
        val post = Postprocessor(listOf("a", "b"), listOf(info(Kind.CLASS)))
        val found = listOf(Tensor.filled(DType.INT64, longArrayOf(1), 1.0))
        assertEquals("b", post.bestClass(found))
        assertTrue(post.topScore(found).isNaN())
    }

    @Test
    fun ofTwoBoxesThatOverlapTheBetterOneStays() {
        val outputs = listOf(info(Kind.DETECTION, boxFormat = BoxFormat.CXCYWH), info(Kind.DETECTION, threshold = 0.3))
        val post = Postprocessor(listOf("a", "b"), outputs)
        val boxes = Tensor.of(floatArrayOf(5f, 5f, 4f, 4f, 5f, 5f, 4f, 5f, 5f, 5f, 4f, 4f, 50f, 5f, 4f, 4f), 1, 4, 4)
        val scores = Tensor.of(floatArrayOf(0.6f, 0f, 0.9f, 0f, 0f, 0.5f, 0.1f, 0.2f), 1, 4, 2)
        val found = post.detections(listOf(boxes, scores), Framing(2.0, 1.0, 1.0, 0.0))
        assertEquals(listOf("a", "b"), found.map { it.what.label })
        assertEquals(Box(1.0, 2.5, 3.0, 7.5), found[0].box)
    }

    @Test
    fun eachPixelHasItsBestClass() {
        val post = Postprocessor(listOf("a", "b"), listOf(info(Kind.SEGMENTATION)))
        val found = post.classMap(listOf(Tensor.of(floatArrayOf(1f, 0f, 0f, 1f), 1, 2, 1, 2)))
        assertContentEquals(intArrayOf(0, 1), found.classes)
    }
}
