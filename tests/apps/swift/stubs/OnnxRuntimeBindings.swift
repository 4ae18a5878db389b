// Stubs of ONNX Runtime's Swift package, after its Objective-C headers (objectivec/include).
@_exported import Foundation

public enum ORTLoggingLevel: Int32, Sendable { case verbose, info, warning, error, fatal }
public enum ORTTensorElementDataType: Int32, Sendable {
  case undefined, float, int8, uInt8, int32, uInt32, int64, uInt64, string
}

public func ORTVersion() -> String? { nil }

open class ORTEnv: NSObject {
  public init(loggingLevel: ORTLoggingLevel) throws {}
}

open class ORTSessionOptions: NSObject {
  public init(_: Void = ()) throws {}
  open func setIntraOpNumThreads(_ intraOpNumThreads: Int32) throws {}
}

open class ORTRunOptions: NSObject {}

open class ORTTensorTypeAndShapeInfo: NSObject {
  open var elementType: ORTTensorElementDataType { .undefined }
  open var shape: [NSNumber] { [] }
}

open class ORTValue: NSObject {
  public init(tensorData: NSMutableData, elementType: ORTTensorElementDataType, shape: [NSNumber]) throws {}
  open func tensorTypeAndShapeInfo() throws -> ORTTensorTypeAndShapeInfo { ORTTensorTypeAndShapeInfo() }
  open func tensorData() throws -> NSMutableData { NSMutableData() }
}

open class ORTSession: NSObject {
  public init(env: ORTEnv, modelPath: String, sessionOptions: ORTSessionOptions?) throws {}
  open func inputNames() throws -> [String] { [] }
  open func outputNames() throws -> [String] { [] }
  open func run(
    withInputs inputs: [String: ORTValue], outputNames: Set<String>, runOptions: ORTRunOptions?
  ) throws -> [String: ORTValue] { [:] }
}
