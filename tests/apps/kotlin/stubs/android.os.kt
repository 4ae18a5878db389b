package android.os

class Bundle

object Build {
    @JvmField val MANUFACTURER: String = ""

    @JvmField val MODEL: String = ""

    object VERSION {
        @JvmField val SDK_INT: Int = 0
    }

    object VERSION_CODES {
        const val Q: Int = 29
    }
}

class PowerManager {
    val currentThermalStatus: Int get() = error("a stub")
}
