package androidx.compose.material3

import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.RowScope
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.text.TextStyle

class ColorScheme(val error: Color)

class Typography(val headlineSmall: TextStyle, val bodySmall: TextStyle)

object MaterialTheme {
    val colorScheme: ColorScheme get() = error("a stub")
    val typography: Typography get() = error("a stub")
}

@Composable
fun MaterialTheme(content: @Composable () -> Unit): Unit = error("a stub of $content")

@Composable
fun Scaffold(modifier: Modifier = Modifier, content: @Composable (PaddingValues) -> Unit): Unit =
    error("a stub of $modifier and $content")

@Composable
fun Text(text: String, modifier: Modifier = Modifier, color: Color = Color.Unspecified, style: TextStyle = TextStyle()): Unit =
    error("a stub of $text, $modifier, $color, $style")

@Composable
fun Button(onClick: () -> Unit, modifier: Modifier = Modifier, content: @Composable RowScope.() -> Unit): Unit =
    error("a stub of $onClick, $modifier, $content")
