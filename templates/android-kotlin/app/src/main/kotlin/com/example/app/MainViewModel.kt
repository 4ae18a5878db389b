package com.example.app

import android.app.Application
import android.net.Uri
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.viewModelScope
import com.example.app.model.ANY
import com.example.app.model.Answer
import com.example.app.model.Contract
import com.example.app.model.Kind
import com.example.app.model.Model
import com.example.app.model.ModelException
import com.example.app.model.Picture
import com.example.app.model.Tensor
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.io.File
import java.io.IOException

/** One line of an answer. */
data class Line(val text: String, val score: Double?)

/** What the screen shows. */
data class UiState(
    val about: String? = null,
    val lines: List<Line> = emptyList(),
    val milliseconds: Double? = null,
    val problem: String? = null,
    val exported: String? = null,
)

/** Holds the model as long as the screen lives, across turns of the device. */
class MainViewModel(application: Application) : AndroidViewModel(application) {
    private val mutableState = MutableStateFlow(UiState())
    val state: StateFlow<UiState> = mutableState.asStateFlow()

    @Volatile
    private var model: Model? = null

    init {
        viewModelScope.launch {
            attempt {
                val loaded = Model.load(application)
                model = loaded
                mutableState.update { it.copy(about = loaded.about) }
            }
        }
    }

    /** Run the model on [picture] and show what it says; for frames of a camera too, one after the other. */
    suspend fun show(picture: Picture): Unit = attempt {
        val loaded = model ?: return@attempt
        show(loaded, loaded.run(picture))
    }

    /** Run the model on the picture at [uri]. */
    fun pick(uri: Uri) {
        viewModelScope.launch {
            attempt { show(withContext(Dispatchers.IO) { readPicture(getApplication<Application>().contentResolver, uri) }) }
        }
    }

    /** Run the model on zeros, which shows that it runs and how long it takes. */
    fun runOnZeros() {
        viewModelScope.launch {
            attempt {
                val loaded = model ?: return@attempt
                val inputs = Contract.INPUTS.map { input ->
                    Tensor.filled(input.type, LongArray(input.shape.size) { if (input.shape[it] == ANY) 1L else input.shape[it].toLong() }, 0.0)
                }
                show(loaded, loaded.run(inputs))
            }
        }
    }

    /** Write what was seen as JSON into the app's own folder. */
    fun export() {
        viewModelScope.launch {
            attempt {
                val loaded = model ?: return@attempt
                val file = File(getApplication<Application>().getExternalFilesDir(null), "monitor.json")
                withContext(Dispatchers.IO) { file.writeText(loaded.monitoring(getApplication())) }
                mutableState.update { it.copy(exported = file.path) }
            }
        }
    }

    override fun onCleared() {
        model?.close()
    }

    private suspend fun attempt(action: suspend () -> Unit) {
        try {
            action()
        } catch (problem: ModelException) {
            mutableState.update { it.copy(problem = problem.message) }
        } catch (problem: IOException) {
            mutableState.update { it.copy(problem = problem.message) }
        }
    }

    private fun show(loaded: Model, answer: Answer) {
        mutableState.update { it.copy(lines = lines(loaded, answer), milliseconds = answer.milliseconds, problem = null) }
    }

    private fun lines(loaded: Model, answer: Answer): List<Line> {
        val post = loaded.postprocessor
        val framing = answer.framing
        return when (Contract.OUTPUTS[0].kind) {
            Kind.CLASSIFICATION -> post.classes(answer.outputs).map { Line(it.label, it.score) }
            Kind.CLASS -> listOf(Line(post.bestClass(answer.outputs), null))
            Kind.DETECTION -> framing?.let { post.detections(answer.outputs, it) }.orEmpty().map { found ->
                val (left, top, right, bottom) = found.box
                Line("${found.what.label}: ${left.toInt()}, ${top.toInt()}, ${right.toInt()}, ${bottom.toInt()}", found.what.score)
            }
            Kind.SEGMENTATION -> shares(post.classMap(answer.outputs).classes).map { (number, share) -> Line(post.label(number), share) }
            else -> Contract.OUTPUTS.zip(answer.outputs).map { (output, values) ->
                Line("${output.name}: ${values.toDoubles().take(SHOWN).joinToString()} ${output.units}", null)
            }
        }
    }

    /** The classes that cover the most pixels, and how much of the picture. */
    private fun shares(classes: IntArray): List<Pair<Int, Double>> =
        classes.toList().groupingBy { it }.eachCount().toList().sortedByDescending { it.second }
            .take(SHOWN).map { (number, count) -> number to count.toDouble() / classes.size }

    private companion object {
        const val SHOWN = 8
    }
}
