package androidx.test.platform.app

import android.content.Context

object InstrumentationRegistry {
    @JvmStatic
    fun getInstrumentation(): Instrumentation = error("a stub")
}

/** `android.app.Instrumentation`, which holds more than tests ask for. */
class Instrumentation {
    val context: Context get() = error("a stub")
    val targetContext: Context get() = error("a stub")
}
