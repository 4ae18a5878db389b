package com.example.app.model

/** A loaded model; not safe to share between threads, which [Model] sees to. */
interface ModelRuntime : AutoCloseable {
    /** What it runs on, for people. */
    val about: String

    /** The outputs for [inputs], both in the contract's order. */
    fun run(inputs: List<Tensor>): List<Tensor>
}

/** The model cannot be loaded or run; the message says why. */
class ModelException(message: String, cause: Throwable? = null) : Exception(message, cause)
