import Foundation

/// What the model said.
public struct Answer: Sendable {
    public let outputs: [Tensor]
    /// Of the inference alone; preparing the picture is not part of it.
    public let milliseconds: Double
    /// Where the model's picture lies in the one it was given; nil where it was given tensors.
    public let framing: Framing?
}

/// The model with all around it: a picture in, answers out. Load it once and keep it.
public actor Model {
    public nonisolated let labels: [String]
    public nonisolated let postprocessor: Postprocessor
    /// What it runs on, for people.
    public nonisolated let about: String

    private let runtime: any ModelRuntime
    private let preprocessor = Contract.picture.map(Preprocessor.init)
    private var monitor = Monitor()
    private var carried = [String: Tensor]()

    /// Load the model and its labels from the package's resources.
    ///
    /// - Throws: `ModelError`, or what the runtime throws, where they are missing or do not load.
    public init() async throws {
        let begun = ContinuousClock.now
        labels = try readLabels()
        postprocessor = Postprocessor(labels: labels)
        let opened = try await openRuntime()
        about = opened.about
        runtime = opened
        monitor.loaded(milliseconds: Self.milliseconds(since: begun))
    }

    /// The answer for `picture`.
    ///
    /// - Throws: `ModelError` where the model takes no picture; what the runtime throws where it fails.
    public func run(_ picture: Picture) throws -> Answer {
        guard let preprocessor else { throw ModelError("\(Contract.name) takes tensors, not a picture") }
        let begun = ContinuousClock.now
        let frame = preprocessor.frame(picture)
        let inputs = [preprocessor.tensor(frame.picture)]
        let took = Self.milliseconds(since: begun)
        return try infer(inputs, framing: frame.framing, prepared: took, mean: frame.picture.mean)
    }

    /// The answer for `inputs` in the contract's order, ready made; those that are carried from call to call are left
    /// out of account.
    public func run(_ inputs: [Tensor]) throws -> Answer {
        let values = inputs[0].doubles
        let mean = values.reduce(0, +) / Double(max(values.count, 1))
        return try infer(inputs, framing: nil, prepared: .nan, mean: mean)
    }

    /// Forget what was carried from call to call: the next one begins anew.
    public func reset() { carried.removeAll() }

    /// What was seen so far, as JSON.
    public func monitoring() throws -> Data { try monitor.json(runtime: about) }

    private func infer(_ inputs: [Tensor], framing: Framing?, prepared: Double, mean: Double) throws -> Answer {
        let fed = zip(Contract.inputs, inputs).map { info, given in
            guard let state = Contract.state.first(where: { $0.input == info.name }) else { return given }
            return carried[info.name] ?? Tensor(filledWith: state.initial, type: given.type, shape: given.shape)
        }
        let begun = ContinuousClock.now
        let outputs: [Tensor]
        do {
            outputs = try runtime.run(fed)
        } catch {
            monitor.failed()
            throw error
        }
        let took = Self.milliseconds(since: begun)
        for item in Contract.state {
            carried[item.input] = zip(Contract.outputs, outputs).first { $0.0.name == item.output }?.1
        }
        let score = postprocessor.topScore(outputs)
        monitor.record(milliseconds: took, prepared: prepared, topScore: score, inputMean: mean)
        return Answer(outputs: outputs, milliseconds: took, framing: framing)
    }

    private static func milliseconds(since begun: ContinuousClock.Instant) -> Double {
        (ContinuousClock.now - begun) / .milliseconds(1)
    }
}
