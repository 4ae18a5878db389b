import CoreGraphics
import CoreVideo
import Foundation
import ImageIO

extension Picture {
    /// A file's picture, upright as its EXIF entry says, transparency on white, in sRGB.
    ///
    /// - Throws: `ModelError` where it cannot be read.
    public init(file: Data) throws {
        guard let source = CGImageSourceCreateWithData(file as CFData, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else { throw ModelError("this is no picture that can be read") }
        let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
        let orientation = properties?[kCGImagePropertyOrientation] as? Int ?? 1
        let area = CGRect(x: 0, y: 0, width: image.width, height: image.height)
        var colors = [UInt8](repeating: 255, count: 4 * image.width * image.height)
        let drawn = colors.withUnsafeMutableBytes { bytes in
            let context = CGContext(
                data: bytes.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
                bytesPerRow: 4 * image.width, space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            context?.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
            context?.fill(area)
            context?.draw(image, in: area)
            return context != nil
        }
        guard drawn else { throw ModelError("this picture is too large to be drawn") }
        for place in stride(from: 3, to: colors.count, by: 4) { colors[place] = 255 }
        self = Picture(rgba: colors, width: image.width, height: image.height).upright(orientation: orientation)
    }

    /// A frame in `kCVPixelFormatType_32BGRA`, as it lies in memory; its opacity is not read.
    ///
    /// - Throws: `ModelError` where it is of another format.
    public init(frame: CVPixelBuffer) throws {
        guard CVPixelBufferGetPixelFormatType(frame) == kCVPixelFormatType_32BGRA else {
            throw ModelError("a frame is not in 32BGRA")
        }
        CVPixelBufferLockBaseAddress(frame, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(frame, .readOnly) }
        guard let base = CVPixelBufferGetBaseAddress(frame) else { throw ModelError("a frame has no memory") }
        let width = CVPixelBufferGetWidth(frame)
        let height = CVPixelBufferGetHeight(frame)
        let row = CVPixelBufferGetBytesPerRow(frame)
        let bytes = UnsafeRawBufferPointer(start: base, count: row * height)
        self.init(bgra: bytes, width: width, height: height, bytesPerRow: row)
    }

    /// Rows of blue, green, red and a byte that is not read; a row may be longer than its pixels.
    public init(bgra bytes: UnsafeRawBufferPointer, width: Int, height: Int, bytesPerRow: Int) {
        var found = [UInt8]()
        found.reserveCapacity(3 * width * height)
        for y in 0..<height {
            for x in 0..<width {
                let place = y * bytesPerRow + 4 * x
                found.append(bytes[place + 2])
                found.append(bytes[place + 1])
                found.append(bytes[place])
            }
        }
        self.init(width: width, height: height, channels: 3, pixels: found)
    }
}
