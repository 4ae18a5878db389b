import Foundation

@testable import ModelKit

/// The golden vectors: samples, and what the float model and this very file gave for them on the build host.
struct Golden {
    /// The samples, each as the model takes it.
    let inputs: [[Tensor]]
    /// What this file gave on the build host; the float model's where that is not kept.
    let wanted: [[Tensor]]
    /// A picture, and the tensor that it must become; nil where the model takes no picture.
    let picture: (Picture, Tensor)?

    init() throws {
        inputs = try Self.samples("inputs", Contract.inputs.count)
        let kept = FileManager.default.fileExists(atPath: Self.url("host_0.npy").path(percentEncoded: false))
        wanted = try Self.samples(kept ? "host" : "outputs", Contract.outputs.count)
        if Contract.picture == nil {
            picture = nil
        } else {
            let raw = try Self.array("picture.npy")
            let found = Picture(width: raw.shape[1], height: raw.shape[0], channels: 3, pixels: [UInt8](raw.data))
            picture = (found, try Self.array("picture_tensor.npy"))
        }
    }

    private static func url(_ name: String) -> URL {
        Bundle.module.bundleURL.appending(path: "Golden").appending(path: name)
    }

    private static func array(_ name: String) throws -> Tensor { try Npy.parse(Data(contentsOf: url(name))) }

    private static func samples(_ prefix: String, _ count: Int) throws -> [[Tensor]] {
        let stacks = try (0..<count).map { Npy.entries(try array("\(prefix)_\($0).npy")) }
        return stacks[0].indices.map { n in stacks.map { $0[n] } }
    }

    /// What is wrong with the outputs of one sample, in words; empty where they match.
    static func problem(_ got: [Tensor], _ want: [Tensor]) -> String {
        if got.count != want.count { return "\(got.count) outputs, not \(want.count)" }
        for (ours, theirs) in zip(got, want) {
            if ours.shape != theirs.shape { return "another shape: \(ours.shape), not \(theirs.shape)" }
            if !ours.doubles.allSatisfy(\.isFinite) { return "not all values are finite" }
            let cosine = likeness(ours.doubles, theirs.doubles)
            if Contract.outputs[0].kind == .class && got[0].doubles != want[0].doubles { return "another class" }
            if cosine < Contract.tolerance { return "too far off: cosine \(cosine), not \(Contract.tolerance)" }
        }
        let classifies = Contract.outputs[0].kind == .classification
        return classifies && otherTop(got[0].doubles, want[0].doubles) ? "another top class" : ""
    }

    /// Cosine of two outputs as vectors; of two single numbers, 1 less their relative difference.
    private static func likeness(_ a: [Double], _ b: [Double]) -> Double {
        if a == b { return 1 }
        if a.count == 1 { return 1 - abs(a[0] - b[0]) / max(abs(a[0]), abs(b[0])) }
        let norms = (sum(zip(a, a)) * sum(zip(b, b))).squareRoot()
        return norms > 0 ? sum(zip(a, b)) / norms : 0
    }

    private static func sum(_ pairs: Zip2Sequence<[Double], [Double]>) -> Double { pairs.reduce(0) { $0 + $1.0 * $1.1 } }

    /// Whether the highest scores are of two classes, though the lead is larger than all differences.
    private static func otherTop(_ ours: [Double], _ theirs: [Double]) -> Bool {
        let ranked = theirs.indices.sorted { theirs[$0] > theirs[$1] }
        if ranked.count < 2 || ours.indices.max(by: { ours[$0] < ours[$1] }) == ranked[0] { return false }
        let difference = zip(ours, theirs).map { abs($0 - $1) }.max() ?? 0
        return theirs[ranked[0]] - theirs[ranked[1]] > difference
    }
}
