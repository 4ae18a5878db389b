package androidx.camera.compose

import androidx.camera.core.SurfaceRequest
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

@Composable
fun CameraXViewfinder(surfaceRequest: SurfaceRequest, modifier: Modifier = Modifier): Unit =
    error("a stub of $surfaceRequest and $modifier")
