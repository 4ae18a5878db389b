import Foundation
import ModelKit
import Observation

/// One line of an answer.
struct Line: Identifiable {
    let id: Int
    let text: String
    let score: Double?
}

/// The model, and what the screen shows of it.
@MainActor
@Observable
final class ModelState {
    private(set) var about: String?
    private(set) var lines = [Line]()
    private(set) var milliseconds: Double?
    private(set) var problem: String?
    private(set) var exported: URL?

    @ObservationIgnored private var model: Model?
    private static let shown = 8

    func load() async {
        await attempt {
            let loaded = try await Model()
            model = loaded
            about = loaded.about
        }
    }

    /// Run the model on a file's picture.
    func show(file: Data) async {
        await attempt {
            let picture = try await Task.detached { try Picture(file: file) }.value
            try await run(picture)
        }
    }

    /// Run the model on each picture that comes, until the stream ends.
    func show(_ pictures: AsyncStream<Picture>) async {
        for await picture in pictures { await attempt { try await run(picture) } }
    }

    /// Run the model on zeros, which shows that it runs and how long it takes.
    func runOnZeros() async {
        await attempt {
            guard let model else { return }
            let inputs = Contract.inputs.map { input in
                Tensor(filledWith: 0, type: input.type, shape: input.shape.map { $0 == anySize ? 1 : $0 })
            }
            show(try await model.run(inputs), of: model)
        }
    }

    /// Write what was seen as JSON into the app's documents.
    func export() async {
        await attempt {
            guard let model else { return }
            let url = URL.documentsDirectory.appending(path: "monitor.json")
            try await model.monitoring().write(to: url, options: .atomic)
            exported = url
        }
    }

    func tell(_ text: String) { problem = text }

    private func run(_ picture: Picture) async throws {
        guard let model else { return }
        show(try await model.run(picture), of: model)
    }

    private func attempt(_ action: () async throws -> Void) async {
        do {
            try await action()
        } catch {
            problem = error.localizedDescription
        }
    }

    private func show(_ answer: Answer, of model: Model) {
        let found = entries(answer, model.postprocessor)
        lines = found.enumerated().map { Line(id: $0, text: $1.0, score: $1.1) }
        milliseconds = answer.milliseconds
        problem = nil
    }

    private func entries(_ answer: Answer, _ post: Postprocessor) -> [(String, Double?)] {
        switch Contract.outputs[0].kind {
        case .classification:
            return post.classes(answer.outputs).map { ($0.label, $0.score) }
        case .class:
            return [(post.bestClass(answer.outputs), nil)]
        case .detection:
            guard let framing = answer.framing else { return [] }
            return post.detections(answer.outputs, framing: framing).map { found in
                let box = found.box
                let corners = [box.left, box.top, box.right, box.bottom].map { String(Int($0)) }.joined(separator: ", ")
                return ("\(found.what.label): \(corners)", found.what.score)
            }
        case .segmentation:
            let classes = post.classMap(answer.outputs)?.classes ?? []
            let counts = Dictionary(classes.map { ($0, 1) }, uniquingKeysWith: +).sorted { $0.value > $1.value }
            return counts.prefix(Self.shown).map { (post.label($0.key), Double($0.value) / Double(classes.count)) }
        default:
            return zip(Contract.outputs, answer.outputs).map { output, values in
                let numbers = values.doubles.prefix(Self.shown).map { String($0) }.joined(separator: ", ")
                return ("\(output.name): \(numbers) \(output.units)", nil)
            }
        }
    }
}
