// Stubs of UIKit, after developer.apple.com.
@_exported import AVFoundation

@MainActor
open class UIView: NSObject {
  open class var layerClass: AnyClass { CALayer.self }
  open var layer: CALayer { CALayer() }
}
