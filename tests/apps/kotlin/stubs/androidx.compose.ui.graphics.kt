package androidx.compose.ui.graphics

class Color private constructor() {
    companion object {
        val Unspecified: Color = Color()
    }
}
