import Foundation

/// A class and its score.
public struct Scored: Sendable, Equatable {
    public let label: String
    public let number: Int
    public let score: Double
}

/// Left, top, right and bottom, in pixels.
public struct Box: Sendable, Equatable {
    public let left: Double
    public let top: Double
    public let right: Double
    public let bottom: Double

    public init(_ left: Double, _ top: Double, _ right: Double, _ bottom: Double) {
        self.left = left
        self.top = top
        self.right = right
        self.bottom = bottom
    }

    public var area: Double { max(0, right - left) * max(0, bottom - top) }

    /// Intersection over union.
    public func overlap(_ other: Box) -> Double {
        let both = Box(max(left, other.left), max(top, other.top), min(right, other.right), min(bottom, other.bottom)).area
        let either = area + other.area - both
        return either > 0 ? both / either : 0
    }
}

/// Something that the model found; `box` lies in the picture that the model was given, before pre-processing.
public struct Detection: Sendable, Equatable {
    public let box: Box
    public let what: Scored
}

/// The class of each pixel of the model's picture, row by row.
public struct ClassMap: Sendable {
    public let width: Int
    public let height: Int
    public let classes: [Int]
}

/// The model's outputs become answers, as the contract says.
public struct Postprocessor: Sendable {
    private let labels: [String]
    private let outputs: [OutputInfo]
    private let picture: PictureInput?

    public init(labels: [String], outputs: [OutputInfo] = Contract.outputs, picture: PictureInput? = Contract.picture) {
        self.labels = labels
        self.outputs = outputs
        self.picture = picture
    }

    public func label(_ number: Int) -> String { labels.indices.contains(number) ? labels[number] : "class \(number)" }

    /// The highest score of the first output, after its activation; not a number where it is the number of a class.
    public func topScore(_ found: [Tensor]) -> Double {
        outputs[0].kind == .class ? .nan : Self.activated(found[0], outputs[0].activation).max() ?? .nan
    }

    /// Of a model that gives the best class's number alone: its label.
    public func bestClass(_ found: [Tensor]) -> String { label(Int(found[0].doubles[0])) }

    /// Of a classifier: at most `count` classes whose score reaches the contract's threshold, the best first.
    public func classes(_ found: [Tensor], count: Int = 5) -> [Scored] {
        let scores = Self.activated(found[0], outputs[0].activation)
        let least = outputs[0].threshold ?? -.infinity
        return ranked(scores).prefix(count).filter { scores[$0] >= least }
            .map { Scored(label: label($0), number: $0, score: scores[$0]) }
    }

    /// Of a detector: each box with its best class, where that reaches the threshold; of two boxes of one class that
    /// overlap by more than the contract says, the better one. The best first.
    public func detections(_ found: [Tensor], framing: Framing) -> [Detection] {
        guard let place = outputs.firstIndex(where: { $0.boxFormat != nil }) else { return [] }
        let all = candidates(found[place], found[place + 1], place)
        var kept = [Detection]()
        for item in ranked(all.map(\.what.score)).map({ all[$0] }) {
            let hidden = kept.contains {
                $0.what.number == item.what.number && $0.box.overlap(item.box) > outputs[place].iouThreshold
            }
            if !hidden { kept.append(item) }
        }
        return kept.map { Detection(box: inSource($0.box, framing), what: $0.what) }
    }

    /// Of a segmenter: the class with the highest score at each pixel; nil where the model segments nothing.
    public func classMap(_ found: [Tensor]) -> ClassMap? {
        guard let place = outputs.firstIndex(where: { $0.kind == .segmentation }) else { return nil }
        let shape = found[place].shape
        let (count, height, width) = (shape[1], shape[2], shape[3])
        let scores = found[place].doubles
        let area = width * height
        let classes = (0..<area).map { pixel in
            var best = 0
            for item in 1..<max(count, 1) {
                if scores[item * area + pixel] > scores[best * area + pixel] { best = item }
            }
            return best
        }
        return ClassMap(width: width, height: height, classes: classes)
    }

    /// The values of an output with the activation that the model leaves to the app; softmax is over the last axis.
    public static func activated(_ output: Tensor, _ activation: Activation) -> [Double] {
        var values = output.doubles
        switch activation {
        case .none: break
        case .sigmoid:
            for n in values.indices {
                let power = exp(-abs(values[n]))  // of a negative number only: nothing overflows
                values[n] = (values[n] >= 0 ? 1.0 : power) / (1.0 + power)
            }
        case .softmax:
            let row = max(output.shape.last ?? 1, 1)
            for first in stride(from: 0, to: values.count, by: row) { softmax(&values[first..<first + row]) }
        }
        return values
    }

    private static func softmax(_ values: inout ArraySlice<Double>) {
        let highest = values.max() ?? 0
        for n in values.indices { values[n] = exp(values[n] - highest) }
        let sum = values.reduce(0, +)
        for n in values.indices { values[n] /= sum }
    }

    /// Places from the highest value down; equal ones in their order.
    private func ranked(_ values: [Double]) -> [Int] {
        values.indices.sorted { values[$0] != values[$1] ? values[$0] > values[$1] : $0 < $1 }
    }

    private func candidates(_ boxes: Tensor, _ scores: Tensor, _ place: Int) -> [Detection] {
        let corners = boxes.doubles
        let values = Self.activated(scores, outputs[place + 1].activation)
        let count = corners.count / 4
        let classes = count == 0 ? 0 : values.count / count
        let least = outputs[place + 1].threshold ?? outputs[place].threshold ?? -.infinity
        return (0..<count).compactMap { n in
            guard let best = ranked(Array(values[n * classes..<(n + 1) * classes])).first else { return nil }
            let score = values[n * classes + best]
            if score < least { return nil }
            let what = Scored(label: label(best), number: best, score: score)
            return Detection(box: box(Array(corners[4 * n..<4 * n + 4]), outputs[place]), what: what)
        }
    }

    /// In pixels of the model's picture.
    private func box(_ values: [Double], _ info: OutputInfo) -> Box {
        let (a, b, c, d) = (values[0], values[1], values[2], values[3])
        let found =
            switch info.boxFormat {
            case .xywh: Box(a, b, a + c, b + d)
            case .cxcywh: Box(a - c / 2, b - d / 2, a + c / 2, b + d / 2)
            default: Box(a, b, c, d)
            }
        guard info.relative, let picture else { return found }
        let (wide, high) = (Double(picture.width), Double(picture.height))
        return Box(found.left * wide, found.top * high, found.right * wide, found.bottom * high)
    }

    private func inSource(_ box: Box, _ framing: Framing) -> Box {
        Box(
            (box.left - framing.offsetX) / framing.scaleX, (box.top - framing.offsetY) / framing.scaleY,
            (box.right - framing.offsetX) / framing.scaleX, (box.bottom - framing.offsetY) / framing.scaleY)
    }
}
