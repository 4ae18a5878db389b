package com.example.app.model

import android.content.Context
import android.os.Build
import android.os.PowerManager
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/**
 * What the model said.
 *
 * @property milliseconds of the inference alone; preparing the picture is not part of it
 * @property framing where the model's picture lies in the one it was given; null where it was given tensors
 */
class Answer(val outputs: List<Tensor>, val milliseconds: Double, val framing: Framing?)

/**
 * The model with all around it: a picture in, answers out.
 *
 * Calls from many coroutines queue up, and none blocks the thread that it comes from. Load it once and keep it: [load]
 * takes long, and the first [run] longer than the others.
 */
class Model private constructor(
    private val runtime: ModelRuntime,
    val labels: List<String>,
    private val preprocessor: Preprocessor?,
) : AutoCloseable {
    val postprocessor: Postprocessor = Postprocessor(labels)
    val monitor: Monitor = Monitor()

    /** What it runs on, for people. */
    val about: String get() = runtime.about

    private val queue = Mutex()
    private val guard = Any()
    private var closed = false
    private val carried = mutableMapOf<String, Tensor>()

    /**
     * The answer for [picture].
     *
     * @throws ModelException where the model takes no picture, is closed, or fails
     */
    suspend fun run(picture: Picture): Answer = withContext(Dispatchers.Default) {
        val preprocessor = preprocessor ?: throw ModelException("${Contract.NAME} takes tensors, not a picture")
        val begun = System.nanoTime()
        val frame = preprocessor.frame(picture)
        val inputs = listOf(preprocessor.tensor(frame.picture))
        val took = (System.nanoTime() - begun) / 1e6
        infer(inputs, frame.framing, took, frame.picture.mean())
    }

    /**
     * The answer for [inputs] in the contract's order, ready made; those that are carried from call to call are left
     * out of account.
     *
     * @throws ModelException where the model is closed or fails
     */
    suspend fun run(inputs: List<Tensor>): Answer = withContext(Dispatchers.Default) {
        infer(inputs, null, Double.NaN, inputs[0].toDoubles().average())
    }

    /** Forget what was carried from call to call: the next one begins anew. */
    suspend fun reset(): Unit = queue.withLock { carried.clear() }

    /** What was seen so far, as JSON. */
    fun monitoring(context: Context): String = monitor.json(about, "${Build.MANUFACTURER} ${Build.MODEL}", thermal(context))

    /** Release the model; waits for the inference that runs. */
    override fun close(): Unit = synchronized(guard) {
        if (!closed) runtime.close()
        closed = true
    }

    private suspend fun infer(inputs: List<Tensor>, framing: Framing?, prepared: Double, mean: Double): Answer = queue.withLock {
        val fed = inputs.mapIndexed { n, given -> fedBack(n, given) }
        val begun = System.nanoTime()
        val outputs = attempted(fed)
        val took = (System.nanoTime() - begun) / 1e6
        for (each in Contract.STATE) carried[each.input] = outputs[Contract.OUTPUTS.indexOfFirst { it.name == each.output }]
        monitor.record(took, prepared, postprocessor.topScore(outputs), mean)
        Answer(outputs, took, framing)
    }

    private fun fedBack(number: Int, given: Tensor): Tensor {
        val name = Contract.INPUTS[number].name
        val state = Contract.STATE.firstOrNull { it.input == name } ?: return given
        return carried[name] ?: Tensor.filled(given.type, given.shape, state.initial)
    }

    /** Each runtime throws classes of its own. */
    private fun attempted(inputs: List<Tensor>): List<Tensor> = synchronized(guard) {
        if (closed) throw ModelException("the model is closed")
        try {
            runtime.run(inputs)
        } catch (problem: Exception) {
            monitor.failed()
            throw ModelException("${Contract.MODEL_FILE} does not run: ${problem.message}", problem)
        }
    }

    companion object {
        /**
         * Load the model and its labels from the library's assets.
         *
         * @throws ModelException where they are missing or do not load
         */
        suspend fun load(context: Context): Model = withContext(Dispatchers.IO) {
            val begun = System.nanoTime()
            try {
                val labels = Labels.parse(context.assets.open("labels.txt").use { it.readBytes().decodeToString() })
                val model = Model(openRuntime(context), labels, Contract.PICTURE?.let(::Preprocessor))
                model.monitor.loaded((System.nanoTime() - begun) / 1e6)
                model
            } catch (problem: Exception) {
                throw ModelException("${Contract.MODEL_FILE} does not load: ${problem.message}", problem)
            }
        }

        private fun thermal(context: Context): Thermal? {
            if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null
            val power = context.getSystemService(PowerManager::class.java) ?: return null
            return Thermal(THERMAL_STATES.getOrElse(power.currentThermalStatus) { "unknown" })
        }

        /** Of PowerManager.THERMAL_STATUS_NONE and those that follow. */
        private val THERMAL_STATES = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
