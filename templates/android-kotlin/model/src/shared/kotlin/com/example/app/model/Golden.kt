package com.example.app.model

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.sqrt

/**
 * The golden vectors: samples, and what the float model and this very file gave for them on the build host.
 *
 * @param read the bytes of a file by its name; null where there is none
 */
class Golden(private val read: (String) -> ByteArray?) {
    /** The samples, each as the model takes it. */
    val inputs: List<List<Tensor>> = samples("inputs", Contract.INPUTS.size)

    /** What the float model gave. */
    val floats: List<List<Tensor>> = samples("outputs", Contract.OUTPUTS.size)

    /** What this file gave on the build host; the float model's where that is not kept. */
    val wanted: List<List<Tensor>> = if (read("host_0.npy") == null) floats else samples("host", Contract.OUTPUTS.size)

    /** A picture, and the tensor that it must become; null where the model takes no picture. */
    val picture: Pair<Picture, Tensor>? = Contract.PICTURE?.let {
        val raw = array("picture.npy")
        val pixels = ByteArray(raw.size).also { raw.data.duplicate().get(it) }
        Picture(raw.shape[1].toInt(), raw.shape[0].toInt(), 3, pixels) to array("picture_tensor.npy")
    }

    private fun array(name: String): Tensor = Npy.parse(requireNotNull(read(name)) { "there is no golden file $name" })

    private fun samples(prefix: String, count: Int): List<List<Tensor>> {
        val stacks = List(count) { Npy.entries(array("${prefix}_$it.npy")) }
        return List(stacks[0].size) { n -> stacks.map { it[n] } }
    }

    companion object {
        private val first = Contract.OUTPUTS[0].kind

        /** What is wrong with the outputs of one sample, in words; empty where they match. */
        fun problem(got: List<Tensor>, want: List<Tensor>): String {
            if (got.size != want.size) return "${got.size} outputs, not ${want.size}"
            for ((ours, theirs) in got.zip(want)) {
                if (!ours.shape.contentEquals(theirs.shape) || ours.type != theirs.type) return "another shape or type"
                if (ours.toDoubles().any { !it.isFinite() }) return "not all values are finite"
                val likeness = likeness(ours.toDoubles(), theirs.toDoubles())
                if (ours === got[0] && first == Kind.CLASS && likeness < 1) return "another class"
                if (likeness < Contract.TOLERANCE) return "too far off: cosine $likeness, not ${Contract.TOLERANCE}"
            }
            val other = first == Kind.CLASSIFICATION && otherTop(got[0].toDoubles(), want[0].toDoubles())
            return if (other) "another top class" else ""
        }

        /** Cosine of two outputs as vectors; of two single numbers, 1 less their relative difference. */
        fun likeness(a: DoubleArray, b: DoubleArray): Double {
            if (a.contentEquals(b)) return 1.0
            if (a.size == 1) return 1 - abs(a[0] - b[0]) / max(abs(a[0]), abs(b[0]))
            val norms = sqrt(a.sumOf { it * it } * b.sumOf { it * it })
            return if (norms > 0) a.indices.sumOf { a[it] * b[it] } / norms else 0.0
        }

        /** Whether the highest scores are of two classes, though the lead is larger than all differences. */
        private fun otherTop(ours: DoubleArray, theirs: DoubleArray): Boolean {
            val ranked = theirs.indices.sortedByDescending { theirs[it] }
            if (ranked.size < 2 || ours.indices.maxBy { ours[it] } == ranked[0]) return false
            val difference = ours.indices.maxOf { abs(ours[it] - theirs[it]) }
            return theirs[ranked[0]] - theirs[ranked[1]] > difference
        }
    }
}
