/// Of a dimension that may have any size.
public let anySize = -1

public enum Resize: Sendable { case stretch, shorterSide, letterbox }

public enum Filter: Sendable { case nearest, bilinear, bicubic }

/// What a picture becomes.
public struct PictureInput: Sendable {
    public let height: Int
    public let width: Int
    /// Channels: 1 (grey) or 3.
    public let depth: Int
    public let blueFirst: Bool
    /// Channel by channel (NCHW), else pixel by pixel (NHWC).
    public let planes: Bool
    /// 8-bit values as they are, else floats.
    public let bytes: Bool
    public let resize: Resize
    public let shorterSide: Int
    public let padValue: UInt8
    public let filter: Filter
    public let antialias: Bool
    public let low: Double
    public let high: Double
    public let mean: [Double]
    public let std: [Double]
}

/// A tensor that the model takes; the batch dimension is the first of `shape`.
public struct InputInfo: Sendable {
    public let name: String
    public let type: DType
    public let shape: [Int]
}

/// Of `class`, the number of the best class alone.
public enum Kind: Sendable {
    case classification, `class`, binary, multilabel, detection, segmentation, sequence, embedding, regression, tensor
}

/// What is still to be applied to an output.
public enum Activation: Sendable { case none, softmax, sigmoid }

public enum BoxFormat: Sendable { case xyxy, xywh, cxcywh }

/// A tensor that the model gives.
public struct OutputInfo: Sendable {
    public let name: String
    public let kind: Kind
    public let activation: Activation
    /// Least score that counts as an answer.
    public let threshold: Double?
    /// Of the output that holds boxes, and of that alone.
    public let boxFormat: BoxFormat?
    /// Boxes from 0 to 1, else in pixels of the model's picture.
    public let relative: Bool
    public let iouThreshold: Double
    public let units: String
}

/// An output of one call that is an input of the next.
public struct StateInfo: Sendable {
    public let input: String
    public let output: String
    public let initial: Double
}
