package androidx.compose.ui.res

import androidx.compose.runtime.Composable

@Composable
fun stringResource(id: Int): String = error("a stub of $id")

@Composable
fun stringResource(id: Int, vararg formatArgs: Any): String = error("a stub of $id and $formatArgs")
