package com.example.app

import android.content.ContentResolver
import android.graphics.ImageDecoder
import android.net.Uri
import com.example.app.model.Picture
import java.io.IOException

/**
 * The picture at [uri], upright as its EXIF entry says, transparency on white.
 *
 * @throws IOException where it cannot be read
 */
fun readPicture(resolver: ContentResolver, uri: Uri): Picture {
    val bitmap = ImageDecoder.decodeBitmap(ImageDecoder.createSource(resolver, uri)) { decoder, _, _ ->
        // Pixels of a hardware bitmap cannot be read, and premultiplied ones have lost bits.
        decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
        decoder.isUnpremultipliedRequired = true
    }
    val colors = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(colors, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    val picture = Picture.fromArgb(colors, bitmap.width, bitmap.height)
    bitmap.recycle()
    return picture
}
