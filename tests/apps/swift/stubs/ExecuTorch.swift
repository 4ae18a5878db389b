// Stubs of ExecuTorch's Swift package, after its sources (extension/apple/ExecuTorch/Exported).
@_exported import Foundation

public enum ModuleLoadMode: Sendable { case file, mmap, mmapUseMlock, mmapUseMlockIgnoreErrors }
public enum DataType: Sendable { case byte, char, short, int, long, half, float, double, bool }
public enum ShapeDynamism: Sendable { case `static`, dynamicBound, dynamicUnbound }

public protocol Scalar {
  static var dataType: DataType { get }
}
extension UInt8: Scalar { public static var dataType: DataType { .byte } }
extension Int32: Scalar { public static var dataType: DataType { .int } }
extension Int64: Scalar { public static var dataType: DataType { .long } }
extension Float: Scalar { public static var dataType: DataType { .float } }
extension Bool: Scalar { public static var dataType: DataType { .bool } }

public protocol ValueConvertible {
  func asValue() -> Value
}

open class Value: NSObject, ValueConvertible {
  public func asValue() -> Value { self }
  public func tensor<T: Scalar>() -> Tensor<T>? { nil }
}

open class AnyTensor: NSObject, ValueConvertible {
  public init(
    data: Data, shape: [Int], strides: [Int] = [], dimensionOrder: [Int] = [], dataType: DataType,
    shapeDynamism: ShapeDynamism = .dynamicBound
  ) {}
  public func asValue() -> Value { Value() }
}

public final class Tensor<T: Scalar> {
  public var shape: [Int] { [] }
  public func scalars() -> [T] { [] }
}

open class Module: NSObject {
  public init(filePath: String, loadMode: ModuleLoadMode = .file) {}
  public func load(_ method: String) throws {}
  public func forward(_ inputs: [ValueConvertible]) throws -> [Value] { [] }
}
