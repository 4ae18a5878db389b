import Foundation
import OnnxRuntimeBindings

func openRuntime() async throws -> sending any ModelRuntime {
    try OnnxRuntime(path: resource(Contract.modelFile).path(percentEncoded: false))
}

/// The model in ONNX Runtime, on the CPU.
final class OnnxRuntime: ModelRuntime {
    let about: String
    private let environment: ORTEnv
    private let session: ORTSession
    private let inputs: [String]
    private let outputs: [String]

    init(path: String) throws {
        environment = try ORTEnv(loggingLevel: .error)
        let options = try ORTSessionOptions()
        try options.setIntraOpNumThreads(Int32(Contract.threads))
        session = try ORTSession(env: environment, modelPath: path, sessionOptions: options)
        inputs = try session.inputNames()
        outputs = try session.outputNames()
        about = "ONNX Runtime \(ORTVersion() ?? ""), CPU threads: \(Contract.threads)"
    }

    func run(_ tensors: [Tensor]) throws -> [Tensor] {
        var fed = [String: ORTValue]()
        for (name, tensor) in zip(inputs, tensors) {
            let data = NSMutableData(data: tensor.data)
            let shape = tensor.shape.map { NSNumber(value: $0) }
            fed[name] = try ORTValue(tensorData: data, elementType: try elementType(tensor.type), shape: shape)
        }
        let found = try session.run(withInputs: fed, outputNames: Set(outputs), runOptions: nil)
        return try outputs.map { name in
            guard let value = found[name] else { throw ModelError("the model gives no output '\(name)'") }
            return try copied(value)
        }
    }

    private func elementType(_ type: DType) throws -> ORTTensorElementDataType {
        switch type {
        case .float32: .float
        case .int32: .int32
        case .int64: .int64
        case .uint8: .uInt8
        default: throw ModelError("ONNX Runtime's Swift package takes no tensors of type \(type)")
        }
    }

    private func copied(_ value: ORTValue) throws -> Tensor {
        let info = try value.tensorTypeAndShapeInfo()
        let type: DType =
            switch info.elementType {
            case .float: .float32
            case .int32: .int32
            case .int64: .int64
            case .uInt8: .uint8
            default: throw ModelError("an output is of a type that is not known here")
            }
        return Tensor(type: type, shape: info.shape.map(\.intValue), data: try value.tensorData() as Data)
    }
}
