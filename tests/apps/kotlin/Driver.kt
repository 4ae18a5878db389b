package com.example.app.check

import com.example.app.model.Contract
import com.example.app.model.DType
import com.example.app.model.Filter
import com.example.app.model.Labels
import com.example.app.model.Monitor
import com.example.app.model.Npy
import com.example.app.model.Picture
import com.example.app.model.PictureInput
import com.example.app.model.Postprocessor
import com.example.app.model.Preprocessor
import com.example.app.model.Resize
import com.example.app.model.Tensor
import com.example.app.model.Thermal
import com.example.app.model.YuvFrame
import com.example.app.model.Plane
import java.io.File
import java.nio.ByteBuffer

/**
 * What tests ask of the library, a line each on stdin, words parted by a tab.
 *
 *     picture PIXELS.npy ORIENTATION OUT [CONTRACT…]   pre-process; pixels [H, W], [H, W, 3] or [H, W, 4]
 *     nv21 BYTES WIDTH HEIGHT ROTATION OUT             a frame, turned upright
 *     yuv BYTES WIDTH HEIGHT ROTATION OUT              the same of three planes whose rows are 5 bytes longer
 *     classes OUTPUT.npy LABELS.txt                    print the labels and scores of an output
 *     labels LABELS.txt                                print all labels, a zero byte after each
 *     monitor OUT                                      write what a monitor saw of three inferences
 */
fun main() {
    for (words in generateSequence(::readLine).map { it.split('\t') }) {
        when (words[0]) {
            "picture" -> picture(words)
            "nv21" -> frame(words, YuvFrame.nv21(File(words[1]).readBytes(), words[2].toInt(), words[3].toInt()))
            "yuv" -> frame(words, planes(File(words[1]).readBytes(), words[2].toInt(), words[3].toInt()))
            "classes" -> classes(Npy.parse(File(words[1]).readBytes()), words[2])
            "labels" -> Labels.parse(File(words[1]).readText()).forEach { print("$it\u0000") }
            "monitor" -> monitored(words[1])
        }
    }
}

private fun picture(words: List<String>) {
    val raw = Npy.parse(File(words[1]).readBytes())
    val given = ByteArray(raw.size).also { raw.data.duplicate().get(it) }
    val high = raw.shape[0].toInt()
    val wide = raw.shape[1].toInt()
    val picture = when (raw.shape.getOrNull(2)) {
        4L -> Picture.fromArgb(IntArray(wide * high) { argb(given, 4 * it) }, wide, high)
        3L -> Picture(wide, high, 3, given)
        else -> Picture(wide, high, 1, given)
    }
    val input = if (words.size > 4) contract(words.drop(4)) else requireNotNull(Contract.PICTURE)
    val preprocessor = Preprocessor(input)
    write(preprocessor.tensor(preprocessor.frame(picture.upright(words[2].toInt())).picture), words[3])
}

private fun argb(bytes: ByteArray, place: Int): Int {
    val (red, green, blue, opacity) = List(4) { bytes[place + it].toInt() and 0xFF }
    return (opacity shl 24) or (red shl 16) or (green shl 8) or blue
}

private fun contract(words: List<String>): PictureInput {
    val numbers = words.drop(13).map { it.toDouble() }
    return PictureInput(
        words[0].toInt(), words[1].toInt(), words[2].toInt(), words[3] == "1", words[4] == "1", words[5] == "1",
        Resize.entries[words[6].toInt()], words[7].toInt(), words[8].toInt(), Filter.entries[words[9].toInt()],
        words[10] == "1", words[11].toDouble(), words[12].toDouble(),
        numbers.take(numbers.size / 2), numbers.drop(numbers.size / 2),
    )
}

private fun frame(words: List<String>, frame: YuvFrame) {
    File(words[5]).writeBytes(frame.toPicture().rotated(words[4].toInt()).pixels)
}

private fun planes(bytes: ByteArray, width: Int, height: Int): YuvFrame {
    val half = (width + 1) / 2
    val rows = (height + 1) / 2
    val chroma = (width + 5) * height
    fun from(place: Int): ByteBuffer = ByteBuffer.wrap(bytes, place, bytes.size - place).slice()
    val y = Plane(from(0), width + 5, 1)
    return YuvFrame(width, height, y, Plane(from(chroma), half + 5, 1), Plane(from(chroma + (half + 5) * rows), half + 5, 1))
}

private fun classes(output: Tensor, labels: String) {
    val found = Postprocessor(Labels.parse(File(labels).readText())).classes(listOf(output), output.size)
    for (each in found) println("${each.score}\t${each.number}\t${each.label}")
}

private fun monitored(path: String) {
    val monitor = Monitor()
    monitor.loaded(12.5)
    for (each in listOf(1.0, 2.0, 3.0)) monitor.record(each, each * 2, each / 4, each * 50)
    monitor.failed()
    File(path).writeText(monitor.json("a runtime", "a \"phone\"", Thermal("none")))
}

private fun write(tensor: Tensor, path: String) {
    val bytes = ByteArray(tensor.data.remaining()).also { tensor.data.duplicate().get(it) }
    check(tensor.type == DType.FLOAT32 || tensor.type == DType.UINT8)
    File(path).writeBytes(bytes)
}
