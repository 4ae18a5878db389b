package com.example.app

import android.content.Context
import androidx.camera.compose.CameraXViewfinder
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.core.SurfaceRequest
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.lifecycle.awaitInstance
import androidx.compose.foundation.layout.aspectRatio
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalContext
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.compose.LocalLifecycleOwner
import com.example.app.model.Picture
import com.example.app.model.Plane
import com.example.app.model.YuvFrame
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.runBlocking
import java.util.concurrent.Executors

/** Shows the camera's picture and hands each frame, upright, to [onFrame]; frames that come meanwhile are dropped. */
@Composable
fun CameraView(onFrame: suspend (Picture) -> Unit) {
    val context = LocalContext.current
    val owner = LocalLifecycleOwner.current
    var request by remember { mutableStateOf<SurfaceRequest?>(null) }
    LaunchedEffect(owner) { watch(context, owner, { request = it }, onFrame) }
    request?.let { CameraXViewfinder(surfaceRequest = it, modifier = Modifier.fillMaxWidth().aspectRatio(1f)) }
}

/** Binds the camera until the coroutine is cancelled. */
private suspend fun watch(
    context: Context,
    owner: LifecycleOwner,
    onSurface: (SurfaceRequest) -> Unit,
    onFrame: suspend (Picture) -> Unit,
) {
    val provider = ProcessCameraProvider.awaitInstance(context)
    val preview = Preview.Builder().build().apply { setSurfaceProvider { onSurface(it) } }
    val analysis = ImageAnalysis.Builder().setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST).build()
    val thread = Executors.newSingleThreadExecutor()
    // The next frame comes once this one is closed, so its thread waits for the model.
    analysis.setAnalyzer(thread) { image -> image.use { runBlocking { onFrame(upright(it)) } } }
    val selector =
        if (provider.hasCamera(CameraSelector.DEFAULT_BACK_CAMERA)) CameraSelector.DEFAULT_BACK_CAMERA
        else CameraSelector.DEFAULT_FRONT_CAMERA
    provider.bindToLifecycle(owner, selector, preview, analysis)
    try {
        awaitCancellation()
    } finally {
        provider.unbind(preview, analysis)
        thread.shutdown()
    }
}

private fun upright(image: ImageProxy): Picture {
    val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return YuvFrame(image.width, image.height, y, u, v).toPicture().rotated(image.imageInfo.rotationDegrees)
}
