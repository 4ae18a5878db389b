import ExecuTorch
import Foundation

func openRuntime() async throws -> sending any ModelRuntime {
    try ExecuTorchRuntime(path: resource(Contract.modelFile).path(percentEncoded: false))
}

/// The model in ExecuTorch, with the Core ML and XNNPACK delegates that its package brings.
final class ExecuTorchRuntime: ModelRuntime {
    let about = "ExecuTorch"
    private let module: Module

    init(path: String) throws {
        module = Module(filePath: path, loadMode: .mmap)
        try module.load("forward")
    }

    func run(_ inputs: [ModelKit.Tensor]) throws -> [ModelKit.Tensor] {
        let fed = inputs.map { AnyTensor(data: $0.data, shape: $0.shape, dataType: dataType($0.type)) }
        let answers: [Value] = try module.forward(fed)
        return try answers.map { value in
            let found =
                copied(value, Float.self, .float32) ?? copied(value, Int32.self, .int32)
                ?? copied(value, Int64.self, .int64) ?? copied(value, UInt8.self, .uint8) ?? copied(value, Bool.self, .bool)
            guard let found else { throw ModelError("an output is of a type that is not known here") }
            return found
        }
    }

    private func dataType(_ type: DType) -> DataType {
        switch type {
        case .float32: .float
        case .float16: .half
        case .int32: .int
        case .int64: .long
        case .uint8: .byte
        case .bool: .bool
        }
    }

    /// What the module gave, in memory of our own, where it is of these numbers.
    private func copied<Number: Scalar & BitwiseCopyable>(_ value: Value, _: Number.Type, _ type: DType) -> ModelKit.Tensor? {
        guard let tensor: ExecuTorch.Tensor<Number> = value.tensor() else { return nil }
        return ModelKit.Tensor(type: type, shape: tensor.shape, data: tensor.scalars().withUnsafeBytes { Data($0) })
    }
}
