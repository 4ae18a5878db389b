import Foundation

/// Where the model's picture lies in the one it was made of: `x of the model = x of the source * scaleX + offsetX`.
public struct Framing: Sendable {
    public let scaleX: Double
    public let scaleY: Double
    public let offsetX: Double
    public let offsetY: Double

    public init(scaleX: Double, scaleY: Double, offsetX: Double, offsetY: Double) {
        self.scaleX = scaleX
        self.scaleY = scaleY
        self.offsetX = offsetX
        self.offsetY = offsetY
    }
}

/// A picture as the model sees it, in 8 bits.
public struct Frame: Sendable {
    public let picture: Picture
    public let framing: Framing
}

/// Pictures become the tensor that the contract's input describes.
///
/// The same arithmetic, in the same order, as when the model was calibrated and checked: change it, and the model sees
/// other numbers than those it was measured on.
public struct Preprocessor: Sendable {
    private let input: PictureInput
    /// The float of each 8-bit level, a table a channel, rounded once from double precision.
    private let tables: [[Float]]

    public init(_ input: PictureInput) {
        self.input = input
        tables = (0..<input.depth).map { channel in
            let mean = input.mean.isEmpty ? 0.0 : input.mean[channel]
            let std = input.std.isEmpty ? 1.0 : input.std[channel]
            return (0..<256).map { level in
                Float((((input.high - input.low) * Double(level) / 255.0 + input.low) - mean) / std)
            }
        }
    }

    /// `picture` in the contract's channels, resized, and cropped or padded to the contract's size.
    public func frame(_ picture: Picture) -> Frame {
        let source = picture.with(channels: input.depth)
        switch input.resize {
        case .stretch: return placed(source, resized(source, input.width, input.height), left: 0, top: 0)
        case .letterbox: return letterboxed(source)
        case .shorterSide: return byShorterSide(source)
        }
    }

    /// What the model takes for a frame, a batch of 1.
    public func tensor(_ frame: Picture) -> Tensor {
        let (depth, area) = (input.depth, input.width * input.height)
        let shape = input.planes ? [1, depth, input.height, input.width] : [1, input.height, input.width, depth]
        var levels = [UInt8](repeating: 0, count: area * depth)
        var floats = [Float](repeating: 0, count: input.bytes ? 0 : area * depth)
        for (n, level) in frame.pixels.enumerated() {
            let channel = input.blueFirst ? depth - 1 - n % depth : n % depth
            let goal = place(pixel: n / depth, channel: channel)
            if input.bytes { levels[goal] = level } else { floats[goal] = tables[channel][Int(level)] }
        }
        return input.bytes ? Tensor(type: .uint8, shape: shape, data: Data(levels)) : Tensor(floats, shape: shape)
    }

    /// The frame that became `tensor`: each value is one of 256, so nothing is lost.
    func frame(of tensor: Tensor) -> Picture {
        let depth = input.depth
        let values = tensor.doubles
        let pixels = (0..<values.count).map { n -> UInt8 in
            let channel = input.blueFirst ? depth - 1 - n % depth : n % depth
            let value = values[place(pixel: n / depth, channel: channel)]
            return input.bytes ? UInt8(value) : level(of: value, channel: channel)
        }
        return Picture(width: input.width, height: input.height, channels: depth, pixels: pixels)
    }

    private func level(of value: Double, channel: Int) -> UInt8 {
        let mean = input.mean.isEmpty ? 0.0 : input.mean[channel]
        let std = input.std.isEmpty ? 1.0 : input.std[channel]
        let found = ((value * std + mean) - input.low) / (input.high - input.low) * 255.0
        return UInt8(min(max(found.rounded(), 0), 255))
    }

    private func place(pixel: Int, channel: Int) -> Int {
        input.planes ? channel * input.width * input.height + pixel : pixel * input.depth + channel
    }

    private func resized(_ picture: Picture, _ width: Int, _ height: Int) -> Picture {
        Resample.resized(picture, width: width, height: height, filter: input.filter, antialias: input.antialias)
    }

    /// `made`, which is `source` resized, laid at (`left`, `top`) of the model's picture; what lies outside is cut off.
    private func placed(_ source: Picture, _ made: Picture, left: Int, top: Int) -> Frame {
        let framing = Framing(
            scaleX: Double(made.width) / Double(source.width), scaleY: Double(made.height) / Double(source.height),
            offsetX: Double(left), offsetY: Double(top))
        if made.width == input.width && made.height == input.height { return Frame(picture: made, framing: framing) }
        let depth = made.channels
        var found = [UInt8](repeating: input.padValue, count: input.width * input.height * depth)
        let columns = max(0, left)..<min(input.width, left + made.width)
        for y in max(0, top)..<min(input.height, top + made.height) {
            let from = ((y - top) * made.width + columns.lowerBound - left) * depth
            let goal = (y * input.width + columns.lowerBound) * depth
            let count = columns.count * depth
            found.replaceSubrange(goal..<goal + count, with: made.pixels[from..<from + count])
        }
        let picture = Picture(width: input.width, height: input.height, channels: depth, pixels: found)
        return Frame(picture: picture, framing: framing)
    }

    private func letterboxed(_ source: Picture) -> Frame {
        let scale = min(Double(input.width) / Double(source.width), Double(input.height) / Double(source.height))
        let width = max(1, Int(Double(source.width) * scale + 0.5))
        let height = max(1, Int(Double(source.height) * scale + 0.5))
        let left = (input.width - width) / 2
        let top = (input.height - height) / 2
        return placed(source, resized(source, width, height), left: left, top: top)
    }

    /// As torchvision.transforms.functional.resize: the longer side is cut to a whole number.
    private func byShorterSide(_ source: Picture) -> Frame {
        let side = input.shorterSide
        let upright = source.width <= source.height
        let width = upright ? side : Int(Double(side * source.width) / Double(source.height))
        let height = upright ? Int(Double(side * source.height) / Double(source.width)) : side
        return placed(
            source, resized(source, width, height), left: -middle(width, input.width), top: -middle(height, input.height))
    }

    /// Halves go to the even number, as Python rounds.
    private func middle(_ size: Int, _ part: Int) -> Int {
        Int((Double(size - part) / 2.0).rounded(.toNearestOrEven))
    }
}
