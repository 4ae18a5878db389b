import CoreML
import Foundation

/// The package is compiled for this device each time.
func openRuntime() async throws -> sending any ModelRuntime {
    let package = try resource(Contract.modelFile)
    let compiled = try await MLModel.compileModel(at: package)
    let configuration = MLModelConfiguration()
    configuration.computeUnits = .all
    return try CoreMLRuntime(MLModel(contentsOf: compiled, configuration: configuration))
}

/// The model in Core ML, on whichever of CPU, GPU and Neural Engine it chooses.
final class CoreMLRuntime: ModelRuntime {
    let about = "Core ML, all compute units"
    private let model: MLModel
    /// What a feature is called by the contract's name, where Core ML takes no such name.
    private let names: [String: String]
    private let labels: [String]

    init(_ model: MLModel) throws {
        self.model = model
        labels = try readLabels()
        let told = model.modelDescription.metadata[.creatorDefinedKey] as? [String: String]
        let data = Data((told?["edgepack.names"] ?? "{}").utf8)
        names = try JSONDecoder().decode([String: String].self, from: data)
    }

    func run(_ inputs: [Tensor]) throws -> [Tensor] {
        var fed = [String: MLFeatureValue]()
        for (info, tensor) in zip(Contract.inputs, inputs) {
            let name = names[info.name] ?? info.name
            let kind = model.modelDescription.inputDescriptionsByName[name]?.type
            fed[name] = try kind == .image ? picture(tensor) : MLFeatureValue(multiArray: array(tensor))
        }
        let found = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: fed))
        return try Contract.outputs.map { try read($0, from: found) }
    }

    private func array(_ tensor: Tensor) throws -> MLMultiArray {
        switch tensor.type {
        case .float32: MLMultiArray(MLShapedArray(scalars: tensor.values(Float.self), shape: tensor.shape))
        case .float16: MLMultiArray(MLShapedArray(scalars: tensor.values(Float16.self), shape: tensor.shape))
        case .int32: MLMultiArray(MLShapedArray(scalars: tensor.values(Int32.self), shape: tensor.shape))
        default: throw ModelError("Core ML takes no tensors of type \(tensor.type)")
        }
    }

    /// The package takes 8-bit pictures and scales them itself.
    private func picture(_ tensor: Tensor) throws -> MLFeatureValue {
        guard let input = Contract.picture else { throw ModelError("the contract names no picture") }
        let frame = Preprocessor(input).frame(of: tensor)
        let format = frame.channels == 1 ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, frame.width, frame.height, format, nil, &made)
        guard let buffer = made else { throw ModelError("no memory for a picture") }
        CVPixelBufferLockBaseAddress(buffer, [])
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        guard let base = CVPixelBufferGetBaseAddress(buffer) else { throw ModelError("no memory for a picture") }
        let row = CVPixelBufferGetBytesPerRow(buffer)
        let bytes = UnsafeMutableRawBufferPointer(start: base, count: row * frame.height)
        for y in 0..<frame.height {
            for x in 0..<frame.width {
                let from = (y * frame.width + x) * frame.channels
                if frame.channels == 1 {
                    bytes[y * row + x] = frame.pixels[from]
                } else {
                    let goal = y * row + 4 * x
                    (bytes[goal], bytes[goal + 1], bytes[goal + 2]) = (frame.pixels[from + 2], frame.pixels[from + 1], frame.pixels[from])
                    bytes[goal + 3] = 255
                }
            }
        }
        return MLFeatureValue(pixelBuffer: buffer)
    }

    /// A classifier answers by label; all else is an array.
    private func read(_ info: OutputInfo, from found: any MLFeatureProvider) throws -> Tensor {
        if let value = found.featureValue(for: names[info.name] ?? info.name), let array = value.multiArrayValue {
            let values = MLShapedArray<Float>(converting: array)
            return Tensor(values.scalars, shape: values.shape)
        }
        let answers = found.featureNames.lazy.compactMap { found.featureValue(for: $0) }
        guard let scores = answers.first(where: { $0.type == .dictionary })?.dictionaryValue else {
            throw ModelError("the model gives no output '\(info.name)'")
        }
        let values = try labels.map { label in
            guard let score = scores[label] else { throw ModelError("the model gives no score of '\(label)'") }
            return score.floatValue
        }
        return Tensor(values, shape: [1, values.count])
    }
}
