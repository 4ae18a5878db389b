package com.example.app.model

import java.io.File
import java.io.IOException
import java.util.Locale
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min

/** What the device says of its heat, where it does. */
data class Thermal(val state: String, val celsius: Double? = null)

/**
 * What the app has seen, in fixed space. [record] takes the same few steps each time and writes nothing; no picture is
 * kept, and nothing is sent anywhere. Safe to share between threads.
 */
class Monitor(
    private val topScoreEdges: List<Double> = Contract.TOP_SCORE_EDGES,
    private val inputMeanEdges: List<Double> = Contract.INPUT_MEAN_EDGES,
) {
    private val latencies = Last()
    private val preparations = Last()
    private val topScores = LongArray(topScoreEdges.size + 1)
    private val inputMeans = LongArray(inputMeanEdges.size + 1)
    private var failures = 0L
    private var loadMs = 0.0

    @Synchronized
    fun loaded(milliseconds: Double) {
        loadMs = milliseconds
    }

    /**
     * One inference; what is not finite is not counted.
     *
     * @param prepared milliseconds of pre-processing
     * @param inputMean of the 8-bit picture as the model saw it, or of the first input
     */
    @Synchronized
    fun record(milliseconds: Double, prepared: Double, topScore: Double, inputMean: Double) {
        latencies.add(milliseconds)
        if (prepared.isFinite()) preparations.add(prepared)
        if (topScore.isFinite()) topScores[bin(topScoreEdges, topScore)]++
        if (inputMean.isFinite()) inputMeans[bin(inputMeanEdges, inputMean)]++
    }

    @Synchronized
    fun failed() {
        failures++
    }

    /** All of it as JSON, which `edgepack monitor` reads; [runtime] says what ran the model, [device] which phone. */
    @Synchronized
    fun json(runtime: String, device: String, thermal: Thermal?): String = """
        |{"schema_number": 1, "model": ${quoted(Contract.NAME)}, "file": ${quoted(Contract.MODEL_FILE)},
        | "runtime": ${quoted(runtime)}, "device": ${quoted(device)}, "count": ${latencies.count}, "failures": $failures,
        | "load_ms": $loadMs, "latency_ms": ${latencies.json()}, "preprocess_ms": ${preparations.json()}, "memory_mb": ${peakMemory() ?: "null"},
        | "thermal": ${thermal?.let { """{"state": ${quoted(it.state)}, "celsius": ${it.celsius ?: "null"}}""" } ?: "null"},
        | "top_score": ${counts(topScores, topScoreEdges)}, "input_mean": ${counts(inputMeans, inputMeanEdges)}}
        |
    """.trimMargin()

    /** The last of a row of durations. */
    private class Last {
        private val values = DoubleArray(KEPT)
        var count = 0L
            private set

        fun add(milliseconds: Double) {
            values[(count++ % KEPT).toInt()] = milliseconds
        }

        /** Percentiles by nearest rank. */
        fun json(): String {
            val times = values.copyOf(min(count, KEPT.toLong()).toInt()).apply { sort() }
            if (times.isEmpty()) return "null"
            fun rank(share: Double) = times[max(ceil(share * times.size).toInt(), 1) - 1]
            return """{"mean": ${times.average()}, "p50": ${rank(0.5)}, "p90": ${rank(0.9)}, "p99": ${rank(0.99)}, "max": ${times.last()}}"""
        }
    }

    private companion object {
        const val KEPT = 1024

        fun bin(edges: List<Double>, value: Double): Int = edges.count { it <= value }

        fun counts(bins: LongArray, edges: List<Double>): String = if (edges.isEmpty()) "null" else bins.joinToString(", ", "[", "]")

        fun quoted(text: String): String = text.asIterable().joinToString("", "\"", "\"") { char ->
            when {
                char == '"' || char == '\\' -> "\\$char"
                char < ' ' || char.isSurrogate() -> String.format(Locale.ROOT, "\\u%04x", char.code)
                else -> char.toString()
            }
        }

        /** Peak resident memory of the process in MB (proc_pid_status, VmHWM); null where it is not told. */
        fun peakMemory(): Double? = try {
            File("/proc/self/status").useLines { lines -> lines.firstOrNull { it.startsWith("VmHWM:") } }
                ?.split(Regex("\\s+"))?.getOrNull(1)?.toDoubleOrNull()?.let { it * 1024 / 1e6 }
        } catch (_: IOException) {
            null
        }
    }
}
