package androidx.camera.core

import java.nio.ByteBuffer
import java.util.concurrent.Executor

class SurfaceRequest

class CameraSelector private constructor() {
    companion object {
        @JvmField val DEFAULT_BACK_CAMERA: CameraSelector = CameraSelector()

        @JvmField val DEFAULT_FRONT_CAMERA: CameraSelector = CameraSelector()
    }
}

interface Camera

abstract class UseCase

class Preview private constructor() : UseCase() {
    fun interface SurfaceProvider {
        fun onSurfaceRequested(request: SurfaceRequest)
    }

    fun setSurfaceProvider(surfaceProvider: SurfaceProvider?): Unit = error("a stub of $surfaceProvider")

    class Builder {
        fun build(): Preview = error("a stub")
    }
}

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    val width: Int
    val height: Int
    val planes: Array<PlaneProxy>
    val imageInfo: ImageInfo

    interface PlaneProxy {
        val rowStride: Int
        val pixelStride: Int
        val buffer: ByteBuffer
    }

    override fun close()
}

class ImageAnalysis private constructor() : UseCase() {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    fun setAnalyzer(executor: Executor, analyzer: Analyzer): Unit = error("a stub of $executor and $analyzer")

    class Builder {
        fun setBackpressureStrategy(strategy: Int): Builder = error("a stub of $strategy")

        fun build(): ImageAnalysis = error("a stub")
    }

    companion object {
        const val STRATEGY_KEEP_ONLY_LATEST: Int = 0
    }
}
