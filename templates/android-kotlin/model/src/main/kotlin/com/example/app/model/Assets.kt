package com.example.app.model

import android.content.Context
import java.io.File
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** The asset [name] as memory that is mapped, not read: it lies uncompressed in the package. */
internal fun mappedAsset(context: Context, name: String): ByteBuffer =
    context.assets.openFd(name).use { asset ->
        FileInputStream(asset.fileDescriptor).use { file ->
            file.channel.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
        }
    }

/** The asset [name] as a file of its own, for a runtime that takes a path; copied once after each installation. */
internal fun copiedAsset(context: Context, name: String): File {
    val copy = File(context.noBackupFilesDir, name)
    if (copy.lastModified() >= File(context.packageCodePath).lastModified()) return copy
    val draft = File(context.noBackupFilesDir, "$name.part")
    context.assets.open(name).use { from -> draft.outputStream().use { from.copyTo(it) } }
    if (!draft.renameTo(copy)) throw ModelException("$copy cannot be written")
    return copy
}
