/// Resampling of 8-bit pictures in the arithmetic of Pillow (src/libImaging/Resample.c): along the width first, then
/// along the height, each in fixed point of 22 bits and rounded to 8 bits.
enum Resample {
    private static let bits = 22
    private static let half = 1 << (bits - 1)
    private static let cubic = -0.5

    static func resized(_ picture: Picture, width: Int, height: Int, filter: Filter, antialias: Bool) -> Picture {
        var found = picture
        if width != found.width { found = alongWidth(found, windows(found.width, width, filter, antialias)) }
        if height != found.height { found = alongHeight(found, windows(found.height, height, filter, antialias)) }
        return found
    }

    /// Of one output position: the first input position that counts, and the weights, in 2^-22.
    private struct Window {
        let first: Int
        let weights: [Int]
    }

    private static func windows(_ size: Int, _ wanted: Int, _ filter: Filter, _ antialias: Bool) -> [Window] {
        if filter == .nearest { return nearest(size, wanted) }
        let scale = Double(size) / Double(wanted)
        let stretch = antialias ? max(scale, 1.0) : 1.0
        let support = (filter == .bilinear ? 1.0 : 2.0) * stretch
        return (0..<wanted).map { place in
            let center = (Double(place) + 0.5) * scale
            let first = max(0, Int(center - support + 0.5))
            let end = min(size, Int(center + support + 0.5))
            let near = (first..<end).map { weight((Double($0) - center + 0.5) * (1.0 / stretch), filter) }
            var total = 0.0
            for item in near { total += item }
            return Window(first: first, weights: near.map { fixed($0 / total, like: $0) })
        }
    }

    /// In 2^-22, rounded away from 0.
    private static func fixed(_ share: Double, like sign: Double) -> Int {
        let scaled = share * Double(1 << bits)
        return Int(sign < 0 ? scaled - 0.5 : scaled + 0.5)
    }

    private static func nearest(_ size: Int, _ wanted: Int) -> [Window] {
        let step = Double(size) / Double(wanted)
        var position = step * 0.5
        var found = [Window]()
        for _ in 0..<wanted {
            found.append(Window(first: Int(position), weights: [1 << bits]))
            position += step
        }
        return found
    }

    private static func weight(_ signed: Double, _ filter: Filter) -> Double {
        let x = abs(signed)
        if filter == .bilinear { return x < 1.0 ? 1.0 - x : 0.0 }
        if x < 1.0 { return ((cubic + 2.0) * x - (cubic + 3.0)) * x * x + 1.0 }
        return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * cubic : 0.0
    }

    private static func alongWidth(_ picture: Picture, _ windows: [Window]) -> Picture {
        let depth = picture.channels
        var found = [UInt8]()
        found.reserveCapacity(windows.count * picture.height * depth)
        picture.pixels.withUnsafeBufferPointer { pixels in
            for y in 0..<picture.height {
                for window in windows {
                    for channel in 0..<depth {
                        let origin = (y * picture.width + window.first) * depth + channel
                        found.append(summed(pixels, window, origin, depth))
                    }
                }
            }
        }
        return Picture(width: windows.count, height: picture.height, channels: depth, pixels: found)
    }

    private static func alongHeight(_ picture: Picture, _ windows: [Window]) -> Picture {
        let row = picture.width * picture.channels
        var found = [UInt8]()
        found.reserveCapacity(windows.count * row)
        picture.pixels.withUnsafeBufferPointer { pixels in
            for window in windows {
                for x in 0..<row { found.append(summed(pixels, window, window.first * row + x, row)) }
            }
        }
        return Picture(width: picture.width, height: windows.count, channels: picture.channels, pixels: found)
    }

    private static func summed(_ pixels: UnsafeBufferPointer<UInt8>, _ window: Window, _ origin: Int, _ step: Int) -> UInt8 {
        var sum = half
        var place = origin
        for weight in window.weights {
            sum += Int(pixels[place]) * weight
            place += step
        }
        return UInt8(min(max(sum >> bits, 0), 255))
    }
}
