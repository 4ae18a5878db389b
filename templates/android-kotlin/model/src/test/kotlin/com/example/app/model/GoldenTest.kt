package com.example.app.model

import org.junit.Assume.assumeTrue
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue

/** What needs no device: pre- and post-processing against the golden vectors. */
class GoldenTest {
    private val golden = Golden { name -> javaClass.classLoader?.getResourceAsStream(name)?.use { it.readBytes() } }

    @Test
    fun thePictureBecomesTheTensorOfTheBuild() {
        assumeTrue("the model takes no picture", golden.picture != null)
        val (picture, wanted) = requireNotNull(golden.picture)
        val preprocessor = Preprocessor(requireNotNull(Contract.PICTURE))
        val made = preprocessor.tensor(preprocessor.frame(picture).picture)
        assertContentEquals(wanted.shape, made.shape)
        assertEquals(wanted.data, made.data)
    }

    @Test
    fun outputsHaveTheFloatModelsShapesAndTheirScoresAreProbabilities() {
        for ((got, want) in golden.wanted.zip(golden.floats)) {
            assertEquals(want.map { it.shape.toList() }, got.map { it.shape.toList() })
            val scores = Postprocessor.activated(got[0], Contract.OUTPUTS[0].activation)
            if (Contract.OUTPUTS[0].activation != Activation.NONE) assertTrue(scores.all { it in 0.0..1.0 })
        }
    }

    @Test
    fun aSampleMatchesItselfAndNoOther() {
        for (each in golden.wanted) assertEquals("", Golden.problem(each, each))
        val outputs = golden.wanted[0]
        val spoilt = outputs.map { Tensor.of(FloatArray(it.size) { n -> if (n == 0) 1f else -1f }, *it.shape) }
        assertNotEquals("", Golden.problem(spoilt, outputs))
    }
}
