package android.content

import android.content.res.AssetManager
import java.io.File

abstract class Context {
    open val assets: AssetManager get() = error("a stub")
    open val contentResolver: ContentResolver get() = error("a stub")
    open val noBackupFilesDir: File get() = error("a stub")
    open val packageCodePath: String get() = error("a stub")

    open fun getExternalFilesDir(type: String?): File? = error("a stub")

    fun <T> getSystemService(serviceClass: Class<T>): T? = error("a stub")
}

abstract class ContentResolver
