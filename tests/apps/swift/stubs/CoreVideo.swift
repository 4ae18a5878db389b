// Stubs of Core Video, after developer.apple.com. A pixel buffer holds memory, rows padded as the real one's are, so
// that what reads and writes it can be run.
@_exported import CoreGraphics

public typealias OSType = UInt32
public typealias CVReturn = Int32
public typealias CVPixelBuffer = CVBuffer
public typealias CVImageBuffer = CVBuffer

public let kCVPixelFormatType_32BGRA: OSType = 0x4247_5241
public let kCVPixelFormatType_OneComponent8: OSType = 0x4C30_3038
public let kCVPixelBufferPixelFormatTypeKey: CFString = "PixelFormatType"

public final class CVBuffer {
  let width: Int
  let height: Int
  let format: OSType
  let row: Int
  let base: UnsafeMutableRawPointer

  init(width: Int, height: Int, format: OSType) {
    self.width = width
    self.height = height
    self.format = format
    row = (width * (format == kCVPixelFormatType_32BGRA ? 4 : 1) + 63) / 64 * 64
    base = .allocate(byteCount: max(row * height, 1), alignment: 64)
  }

  deinit { base.deallocate() }
}

public struct CVPixelBufferLockFlags: OptionSet, Sendable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public static let readOnly = CVPixelBufferLockFlags(rawValue: 1)
}

@discardableResult
public func CVPixelBufferCreate(
  _ allocator: CFAllocator?, _ width: Int, _ height: Int, _ format: OSType, _ attributes: CFDictionary?,
  _ made: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn {
  made.pointee = CVBuffer(width: width, height: height, format: format)
  return 0
}

@discardableResult
public func CVPixelBufferLockBaseAddress(_ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags) -> CVReturn { 0 }
@discardableResult
public func CVPixelBufferUnlockBaseAddress(_ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags) -> CVReturn { 0 }
public func CVPixelBufferGetBaseAddress(_ buffer: CVPixelBuffer) -> UnsafeMutableRawPointer? { buffer.base }
public func CVPixelBufferGetBytesPerRow(_ buffer: CVPixelBuffer) -> Int { buffer.row }
public func CVPixelBufferGetWidth(_ buffer: CVPixelBuffer) -> Int { buffer.width }
public func CVPixelBufferGetHeight(_ buffer: CVPixelBuffer) -> Int { buffer.height }
public func CVPixelBufferGetPixelFormatType(_ buffer: CVPixelBuffer) -> OSType { buffer.format }
