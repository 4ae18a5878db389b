package com.example.app.model

/** Of a dimension that may have any size. */
const val ANY: Int = -1

enum class Resize { STRETCH, SHORTER_SIDE, LETTERBOX }

enum class Filter { NEAREST, BILINEAR, BICUBIC }

/** What a picture becomes. */
data class PictureInput(
    val height: Int,
    val width: Int,
    /** Channels: 1 (grey) or 3. */
    val depth: Int,
    val blueFirst: Boolean,
    /** Channel by channel (NCHW), else pixel by pixel (NHWC). */
    val planes: Boolean,
    /** 8-bit values as they are, else floats. */
    val bytes: Boolean,
    val resize: Resize,
    val shorterSide: Int,
    val padValue: Int,
    val filter: Filter,
    val antialias: Boolean,
    val low: Double,
    val high: Double,
    val mean: List<Double>,
    val std: List<Double>,
)

/** A tensor that the model takes; the batch dimension is the first of [shape]. */
data class InputInfo(val name: String, val type: DType, val shape: List<Int>)

/** Of [CLASS], the number of the best class alone. */
enum class Kind {
    CLASSIFICATION, CLASS, BINARY, MULTILABEL, DETECTION, SEGMENTATION, SEQUENCE, EMBEDDING, REGRESSION, TENSOR
}

/** What is still to be applied to an output. */
enum class Activation { NONE, SOFTMAX, SIGMOID }

enum class BoxFormat { XYXY, XYWH, CXCYWH }

/** A tensor that the model gives. */
data class OutputInfo(
    val name: String,
    val kind: Kind,
    val activation: Activation,
    /** Least score that counts as an answer. */
    val threshold: Double?,
    /** Of the output that holds boxes, and of that alone. */
    val boxFormat: BoxFormat?,
    /** Boxes from 0 to 1, else in pixels of the model's picture. */
    val relative: Boolean,
    val iouThreshold: Double,
    val units: String,
)

/** An output of one call that is an input of the next. */
data class StateInfo(val input: String, val output: String, val initial: Double)
