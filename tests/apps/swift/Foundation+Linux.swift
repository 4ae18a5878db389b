// What Foundation has on Apple's systems and not on Linux, and what a Swift package's build adds to each module.
import Foundation

/// An enumeration there.
let RUSAGE_SELF: Int32 = 0

extension ProcessInfo {
  enum ThermalState { case nominal, fair, serious, critical }
  var thermalState: ThermalState { .nominal }
}

extension Bundle {
  /// The folder of the module's resources, here that of the environment.
  static var module: Bundle { Bundle(path: ProcessInfo.processInfo.environment["APP_RESOURCES"] ?? ".") ?? .main }
}

extension URL {
  static var documentsDirectory: URL { FileManager.default.temporaryDirectory }
}
