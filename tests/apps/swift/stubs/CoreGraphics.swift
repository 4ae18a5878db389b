// Stubs of Core Graphics, after developer.apple.com: what the app calls, and no more.
@_exported import Foundation

public typealias CFString = String
public typealias CFData = Data
public typealias CFDictionary = NSDictionary
public typealias CFAllocator = NSObject

public final class CGColorSpace: Sendable {
  public static var sRGB: CFString { "kCGColorSpaceSRGB" }
  public init?(name: CFString) { return nil }
}

public final class CGImage: Sendable {
  public var width: Int { 0 }
  public var height: Int { 0 }
}

public enum CGImageAlphaInfo: UInt32, Sendable {
  case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst, alphaOnly
}

public final class CGContext {
  public init?(
    data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int, space: CGColorSpace,
    bitmapInfo: UInt32
  ) { return nil }
  public func setFillColor(red: CGFloat, green: CGFloat, blue: CGFloat, alpha: CGFloat) {}
  public func fill(_ rect: CGRect) {}
  public func draw(_ image: CGImage, in rect: CGRect, byTiling: Bool = false) {}
}
