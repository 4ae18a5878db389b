package android.graphics

import android.content.ContentResolver
import android.net.Uri

class Bitmap {
    val width: Int get() = error("a stub")
    val height: Int get() = error("a stub")

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int): Unit = error("a stub")

    fun recycle(): Unit = error("a stub")
}

class ImageDecoder {
    var allocator: Int = 0
    var isUnpremultipliedRequired: Boolean = false

    abstract class Source

    class ImageInfo

    fun interface OnHeaderDecodedListener {
        fun onHeaderDecoded(decoder: ImageDecoder, info: ImageInfo, source: Source)
    }

    companion object {
        const val ALLOCATOR_SOFTWARE: Int = 1

        @JvmStatic
        fun createSource(resolver: ContentResolver, uri: Uri): Source = error("a stub")

        @JvmStatic
        fun decodeBitmap(source: Source, listener: OnHeaderDecodedListener): Bitmap = error("a stub")
    }
}
