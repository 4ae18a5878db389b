package com.example.app.model

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith
import java.io.FileNotFoundException

/** The golden vectors, replayed on this device and compared with what this very file gave on the build host. */
@RunWith(AndroidJUnit4::class)
class SelfTest {
    private val golden = Golden { name ->
        try {
            InstrumentationRegistry.getInstrumentation().context.assets.open(name).use { it.readBytes() }
        } catch (_: FileNotFoundException) {
            null
        }
    }

    @Test
    fun everySampleMatches() = runBlocking {
        Model.load(InstrumentationRegistry.getInstrumentation().targetContext).use { model ->
            for ((n, inputs) in golden.inputs.withIndex()) {
                model.reset()
                assertEquals("sample $n", "", Golden.problem(model.run(inputs).outputs, golden.wanted[n]))
            }
        }
    }

    @Test
    fun thePictureRuns() = runBlocking {
        assumeTrue("the model takes no picture", golden.picture != null)
        val (picture, _) = requireNotNull(golden.picture)
        Model.load(InstrumentationRegistry.getInstrumentation().targetContext).use { model ->
            assertEquals(Contract.OUTPUTS.size, model.run(picture).outputs.size)
        }
    }
}
