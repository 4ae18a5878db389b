import Foundation

/// Types of numbers, by the contract's names.
public enum DType: Sendable {
    case float32, float16, int32, int64, uint8, bool

    public var bytes: Int {
        switch self {
        case .float32, .int32: 4
        case .float16: 2
        case .int64: 8
        case .uint8, .bool: 1
        }
    }
}

/// Numbers in row-major order, little endian, the batch dimension first.
public struct Tensor: Sendable, Equatable {
    public let type: DType
    public let shape: [Int]
    public let data: Data

    public init(type: DType, shape: [Int], data: Data) {
        precondition(data.count == shape.reduce(1, *) * type.bytes, "\(data.count) bytes are not \(shape) of \(type)")
        self.type = type
        self.shape = shape
        self.data = data
    }

    public init(_ values: [Float], shape: [Int]) {
        self.init(type: .float32, shape: shape, data: values.withUnsafeBytes { Data($0) })
    }

    /// A tensor of one and the same value.
    public init(filledWith value: Double, type: DType, shape: [Int]) {
        let count = shape.reduce(1, *)
        switch type {
        case .float32: self.init([Float](repeating: Float(value), count: count), shape: shape)
        case .int32: self.init(Int32(value), type: type, shape: shape)
        case .int64: self.init(Int64(value), type: type, shape: shape)
        case .uint8, .bool: self.init(UInt8(value), type: type, shape: shape)
        case .float16: self.init(Float16(value), type: type, shape: shape)
        }
    }

    private init<Number>(_ value: Number, type: DType, shape: [Int]) {
        let values = [Number](repeating: value, count: shape.reduce(1, *))
        self.init(type: type, shape: shape, data: values.withUnsafeBytes { Data($0) })
    }

    public var count: Int { shape.reduce(1, *) }

    /// All values, widened; a Boolean is 0 or 1.
    public var doubles: [Double] {
        switch type {
        case .float32: values(Float.self).map(Double.init)
        case .float16: values(Float16.self).map(Double.init)
        case .int32: values(Int32.self).map(Double.init)
        case .int64: values(Int64.self).map(Double.init)
        case .uint8, .bool: data.map(Double.init)
        }
    }

    /// All values, of the Swift type that goes with `type`.
    public func values<Number: BitwiseCopyable>(_: Number.Type) -> [Number] {
        data.withUnsafeBytes { bytes in
            (0..<count).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self) }
        }
    }
}
