import Foundation

/// A loaded model; not safe to share, which `Model` sees to.
protocol ModelRuntime {
    /// What it runs on, for people.
    var about: String { get }

    /// The outputs for `inputs`, both in the contract's order.
    func run(_ inputs: [Tensor]) throws -> [Tensor]
}

/// The model, or what it is given, cannot be read, loaded or run; the text says why.
public struct ModelError: LocalizedError, Sendable {
    public let errorDescription: String?

    public init(_ text: String) { errorDescription = text }
}

/// The names of the classes, which the package brings.
func readLabels() throws -> [String] {
    Labels.parse(try String(contentsOf: resource("labels.txt"), encoding: .utf8))
}

/// A file that the package brings.
///
/// - Throws: `ModelError` where it is not there.
func resource(_ name: String) throws -> URL {
    let url = Bundle.module.bundleURL.appending(path: "Assets").appending(path: name)
    guard FileManager.default.fileExists(atPath: url.path(percentEncoded: false)) else {
        throw ModelError("\(name) is missing from the app")
    }
    return url
}
