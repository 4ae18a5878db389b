import Foundation

@testable import ModelKit

/// NumPy's files, version 1.0, little endian, in C order (numpy.lib.format).
enum Npy {
    private static let types: [String: DType] = [
        "<f4": .float32, "<f2": .float16, "<i4": .int32, "<i8": .int64, "|u1": .uint8, "|b1": .bool,
    ]

    static func parse(_ file: Data) throws -> Tensor {
        let bytes = [UInt8](file)
        guard bytes.count > 10, bytes[0] == 0x93, bytes[6] == 1 else { throw ModelError("it is no NumPy file of version 1.0") }
        let length = Int(bytes[8]) + 256 * Int(bytes[9])
        let head = String(decoding: bytes[10..<10 + length], as: UTF8.self)
        guard head.contains("'fortran_order': False"), let descr = head.firstMatch(of: /'descr': *'([^']+)'/),
            let numbers = head.firstMatch(of: /'shape': *\(([^)]*)\)/), let type = types[String(descr.1)]
        else { throw ModelError("its head is not understood: \(head)") }
        let shape = numbers.1.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
        return Tensor(type: type, shape: shape, data: Data(bytes[(10 + length)...]))
    }

    /// The entries along the first axis, which it loses.
    static func entries(_ stack: Tensor) -> [Tensor] {
        let size = stack.data.count / stack.shape[0]
        return (0..<stack.shape[0]).map { n in
            Tensor(type: stack.type, shape: Array(stack.shape.dropFirst()), data: Data(stack.data[n * size..<(n + 1) * size]))
        }
    }
}
