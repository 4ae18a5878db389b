package android.content.res

import java.io.Closeable
import java.io.FileDescriptor
import java.io.InputStream

class AssetManager {
    fun open(fileName: String): InputStream = error("a stub")

    fun openFd(fileName: String): AssetFileDescriptor = error("a stub")
}

open class AssetFileDescriptor : Closeable {
    val fileDescriptor: FileDescriptor get() = error("a stub")
    val startOffset: Long get() = error("a stub")
    val declaredLength: Long get() = error("a stub")

    override fun close() = Unit
}
