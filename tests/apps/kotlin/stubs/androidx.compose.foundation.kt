package androidx.compose.foundation

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

class ScrollState

@Composable
fun rememberScrollState(initial: Int = 0): ScrollState = error("a stub of $initial")

fun Modifier.verticalScroll(state: ScrollState): Modifier = error("a stub of $state")
