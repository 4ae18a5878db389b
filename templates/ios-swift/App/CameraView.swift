import AVFoundation
import SwiftUI

/// Shows the camera's picture and runs the model on its frames.
struct CameraView: View {
    let state: ModelState
    @State private var camera = Camera()

    var body: some View {
        CameraPreview(session: camera.session)
            .aspectRatio(1, contentMode: .fit)
            .task {
                do {
                    let pictures = try await camera.start()
                    await state.show(pictures)
                } catch {
                    state.tell(error.localizedDescription)
                }
            }
            .onDisappear { camera.stop() }
    }
}

private struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    final class Layered: UIView {
        override static var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context: Context) -> Layered {
        let view = Layered()
        let layer = view.layer as? AVCaptureVideoPreviewLayer
        layer?.session = session
        layer?.videoGravity = .resizeAspectFill
        return view
    }

    func updateUIView(_ view: Layered, context: Context) {}
}
