package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp

interface PaddingValues

interface ColumnScope

interface RowScope

object Arrangement {
    interface Horizontal

    interface Vertical

    interface HorizontalOrVertical : Horizontal, Vertical

    val Start: Horizontal get() = error("a stub")
    val Top: Vertical get() = error("a stub")
    val SpaceBetween: HorizontalOrVertical get() = error("a stub")

    fun spacedBy(space: Dp): HorizontalOrVertical = error("a stub of $space")
}

fun Modifier.padding(paddingValues: PaddingValues): Modifier = error("a stub of $paddingValues")

fun Modifier.padding(all: Dp): Modifier = error("a stub of $all")

fun Modifier.fillMaxSize(fraction: Float = 1f): Modifier = error("a stub of $fraction")

fun Modifier.fillMaxWidth(fraction: Float = 1f): Modifier = error("a stub of $fraction")

fun Modifier.aspectRatio(ratio: Float, matchHeightConstraintsFirst: Boolean = false): Modifier =
    error("a stub of $ratio and $matchHeightConstraintsFirst")

@Composable
fun Column(
    modifier: Modifier = Modifier,
    verticalArrangement: Arrangement.Vertical = Arrangement.Top,
    content: @Composable ColumnScope.() -> Unit,
): Unit = error("a stub of $modifier, $verticalArrangement, $content")

@Composable
fun Row(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal = Arrangement.Start,
    content: @Composable RowScope.() -> Unit,
): Unit = error("a stub of $modifier, $horizontalArrangement, $content")
