// Stubs of AVFoundation and Core Media, after developer.apple.com.
@_exported import CoreVideo
@_exported import Dispatch

public struct AVMediaType: Sendable {
  public static let video = AVMediaType()
}

public final class CMSampleBuffer {}
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVImageBuffer? { nil }

open class AVCaptureDevice: NSObject {
  public static func requestAccess(for mediaType: AVMediaType) async -> Bool { false }
  public static func `default`(for mediaType: AVMediaType) -> AVCaptureDevice? { nil }
}

open class AVCaptureInput: NSObject {}
open class AVCaptureOutput: NSObject {
  open func connection(with mediaType: AVMediaType) -> AVCaptureConnection? { nil }
}

open class AVCaptureConnection: NSObject {
  open var videoRotationAngle: CGFloat = 0
  open func isVideoRotationAngleSupported(_ angle: CGFloat) -> Bool { false }
}

open class AVCaptureDeviceInput: AVCaptureInput {
  public init(device: AVCaptureDevice) throws {}
}

public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
  func captureOutput(_ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
}

open class AVCaptureVideoDataOutput: AVCaptureOutput {
  open var videoSettings: [String: Any]! = [:]
  open func setSampleBufferDelegate(
    _ delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
  ) {}
}

open class AVCaptureSession: NSObject {
  public struct Preset: Sendable {
    public static let vga640x480 = Preset()
  }
  open var inputs: [AVCaptureInput] { [] }
  open var sessionPreset = Preset()
  open func beginConfiguration() {}
  open func commitConfiguration() {}
  open func canAddInput(_ input: AVCaptureInput) -> Bool { false }
  open func canAddOutput(_ output: AVCaptureOutput) -> Bool { false }
  open func addInput(_ input: AVCaptureInput) {}
  open func addOutput(_ output: AVCaptureOutput) {}
  open func startRunning() {}
  open func stopRunning() {}
}

public enum AVLayerVideoGravity: Sendable { case resize, resizeAspect, resizeAspectFill }

open class CALayer: NSObject {}

open class AVCaptureVideoPreviewLayer: CALayer {
  open var session: AVCaptureSession?
  open var videoGravity = AVLayerVideoGravity.resize
}
