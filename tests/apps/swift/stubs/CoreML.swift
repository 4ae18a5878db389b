// Stubs of Core ML, after developer.apple.com.
@_exported import CoreVideo

public enum MLComputeUnits: Int, Sendable { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

open class MLModelConfiguration: NSObject {
  open var computeUnits = MLComputeUnits.all
}

public struct MLModelMetadataKey: Hashable, Sendable {
  public static let creatorDefinedKey = MLModelMetadataKey()
}

public enum MLFeatureType: Int, Sendable { case invalid, int64, double, string, image, multiArray, dictionary, sequence, state }

open class MLFeatureDescription: NSObject {
  open var type: MLFeatureType { .invalid }
}

open class MLModelDescription: NSObject {
  open var metadata: [MLModelMetadataKey: Any] { [:] }
  open var inputDescriptionsByName: [String: MLFeatureDescription] { [:] }
}

public protocol MLFeatureProvider {
  var featureNames: Set<String> { get }
  func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
  public init(dictionary: [String: Any]) throws {}
  open var featureNames: Set<String> { [] }
  open func featureValue(for featureName: String) -> MLFeatureValue? { nil }
}

open class MLFeatureValue: NSObject {
  public init(multiArray value: MLMultiArray) {}
  public init(pixelBuffer value: CVPixelBuffer) {}
  open var type: MLFeatureType { .invalid }
  open var multiArrayValue: MLMultiArray? { nil }
  open var dictionaryValue: [AnyHashable: NSNumber] { [:] }
}

public protocol MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}
extension Double: MLShapedArrayScalar {}
extension Int32: MLShapedArrayScalar {}
extension Float16: MLShapedArrayScalar {}

public protocol MLShapedArrayProtocol {
  associatedtype Scalar: MLShapedArrayScalar
}

public struct MLShapedArray<Scalar: MLShapedArrayScalar>: MLShapedArrayProtocol {
  public let scalars: [Scalar]
  public let shape: [Int]
  public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar {
    self.scalars = Array(scalars)
    self.shape = shape
  }
  public init(converting multiArray: MLMultiArray) {
    scalars = []
    shape = []
  }
}

open class MLMultiArray: NSObject {
  public init<ShapedArray: MLShapedArrayProtocol>(_ shapedArray: ShapedArray) {}
}

open class MLModel: NSObject, @unchecked Sendable {
  public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {}
  public static func compileModel(at url: URL) async throws -> URL { url }
  open var modelDescription: MLModelDescription { MLModelDescription() }
  open func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { input }
}
