package com.example.app.model

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNotEquals

/** What needs no device: pre- and post-processing against the golden vectors. */
class GoldenTest {
    private val golden = Golden { name -> javaClass.classLoader?.getResourceAsStream(name)?.use { it.readBytes() } }

    @Test
    fun thePictureBecomesTheTensorOfTheBuild() {
        val (picture, wanted) = golden.picture ?: return
        val preprocessor = Preprocessor(requireNotNull(Contract.PICTURE))
        val made = preprocessor.tensor(preprocessor.frame(picture).picture)
        assertContentEquals(wanted.shape, made.shape)
        assertEquals(wanted.data, made.data)
    }

    @Test
    fun thisFileAgreesWithTheFloatModelWhereItIsClear() {
        for ((got, want) in golden.wanted.zip(golden.floats)) {
            val scores = Postprocessor.activated(got[0], Contract.OUTPUTS[0].activation)
            if (Contract.OUTPUTS[0].activation != Activation.NONE) assertEquals(true, scores.all { it in 0.0..1.0 })
            assertEquals(want[0].shape.toList(), got[0].shape.toList())
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
