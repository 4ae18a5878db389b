import AVFoundation
import ModelKit

/// The camera's frames, upright in portrait; those that come while the model is busy are dropped.
///
/// All of the session is touched on `queue` alone, which is what makes sharing it safe.
final class Camera: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    let session = AVCaptureSession()
    private let queue = DispatchQueue(label: "camera")
    private var frames: AsyncStream<Picture>.Continuation?

    /// Ask for the camera and begin.
    ///
    /// - Throws: `ModelError` where there is no camera, or it may not be used.
    func start() async throws -> AsyncStream<Picture> {
        guard await AVCaptureDevice.requestAccess(for: .video) else { throw ModelError("The camera may not be used") }
        let (stream, continuation) = AsyncStream<Picture>.makeStream(bufferingPolicy: .bufferingNewest(1))
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            queue.async {
                do {
                    try self.configure()
                    self.frames = continuation
                    self.session.startRunning()
                    done.resume()
                } catch {
                    done.resume(throwing: error)
                }
            }
        }
        return stream
    }

    func stop() {
        queue.async {
            self.session.stopRunning()
            self.frames?.finish()
            self.frames = nil
        }
    }

    private func configure() throws {
        if !session.inputs.isEmpty { return }
        guard let device = AVCaptureDevice.default(for: .video) else { throw ModelError("There is no camera") }
        let input = try AVCaptureDeviceInput(device: device)
        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.setSampleBufferDelegate(self, queue: queue)
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        guard session.canAddInput(input), session.canAddOutput(output) else { throw ModelError("The camera is busy") }
        session.sessionPreset = .vga640x480
        session.addInput(input)
        session.addOutput(output)
        let connection = output.connection(with: .video)
        if connection?.isVideoRotationAngleSupported(90) == true { connection?.videoRotationAngle = 90 }
    }

    func captureOutput(_ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection) {
        guard let frame = CMSampleBufferGetImageBuffer(sample), let picture = try? Picture(frame: frame) else { return }
        frames?.yield(picture)
    }
}
