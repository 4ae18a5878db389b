/// An 8-bit picture, upright: row by row, the channels of a pixel side by side.
public struct Picture: Sendable, Equatable {
    public let width: Int
    public let height: Int
    /// 1 (grey) or 3 (red, green, blue).
    public let channels: Int
    public let pixels: [UInt8]

    public init(width: Int, height: Int, channels: Int, pixels: [UInt8]) {
        precondition(pixels.count == width * height * channels, "\(pixels.count) values are not \(width) x \(height) x \(channels)")
        self.width = width
        self.height = height
        self.channels = channels
        self.pixels = pixels
    }

    /// Of red, green, blue and opacity, not premultiplied; on white.
    public init(rgba: [UInt8], width: Int, height: Int) {
        var found = [UInt8]()
        found.reserveCapacity(3 * width * height)
        for place in stride(from: 0, to: rgba.count, by: 4) {
            let opacity = Int(rgba[place + 3])
            for channel in 0..<3 { found.append(Self.onWhite(Int(rgba[place + channel]), opacity)) }
        }
        self.init(width: width, height: height, channels: 3, pixels: found)
    }

    /// Mirrored and turned as EXIF orientation (1 to 8) says; others leave the picture as it is.
    public func upright(orientation: Int) -> Picture {
        guard (2...8).contains(orientation) else { return self }
        let turned = orientation >= 5
        let wide = turned ? height : width
        let high = turned ? width : height
        let fromRight = [2, 3, 7, 8].contains(orientation)
        let fromBelow = [3, 4, 6, 7].contains(orientation)
        var found = [UInt8]()
        found.reserveCapacity(pixels.count)
        for y in 0..<high {
            for x in 0..<wide {
                let column = turned ? y : x
                let row = turned ? x : y
                let from = channels * ((fromBelow ? height - 1 - row : row) * width + (fromRight ? width - 1 - column : column))
                found.append(contentsOf: pixels[from..<from + channels])
            }
        }
        return Picture(width: wide, height: high, channels: channels, pixels: found)
    }

    /// In grey or in colour, as `depth` (1 or 3) says.
    public func with(channels depth: Int) -> Picture {
        if depth == channels { return self }
        if depth == 3 {
            return Picture(width: width, height: height, channels: 3, pixels: pixels.flatMap { [$0, $0, $0] })
        }
        let found = stride(from: 0, to: pixels.count, by: 3).map { place in
            let sum = 19595 * Int(pixels[place]) + 38470 * Int(pixels[place + 1]) + 7471 * Int(pixels[place + 2])
            return UInt8((sum + 32768) >> 16)
        }
        return Picture(width: width, height: height, channels: 1, pixels: found)
    }

    /// The mean of all values, from 0 to 255.
    public var mean: Double { Double(pixels.reduce(0) { $0 + Int($1) }) / Double(pixels.count) }

    private static func onWhite(_ value: Int, _ opacity: Int) -> UInt8 {
        let sum = 128 * (value * opacity + 255 * (255 - opacity)) + 16384
        return UInt8((((sum >> 8) + sum) >> 8) >> 7)
    }
}
