import Foundation

/// What the app has seen, in fixed space. `record` takes the same few steps each time and writes nothing; no picture is
/// kept, and nothing is sent anywhere.
struct Monitor {
    private var failures = 0
    private var loadMs = 0.0
    private var latencies = Last()
    private var preparations = Last()
    private let topScoreEdges: [Double]
    private let inputMeanEdges: [Double]
    private var topScores: [Int]
    private var inputMeans: [Int]

    init(topScoreEdges: [Double] = Contract.topScoreEdges, inputMeanEdges: [Double] = Contract.inputMeanEdges) {
        self.topScoreEdges = topScoreEdges
        self.inputMeanEdges = inputMeanEdges
        topScores = [Int](repeating: 0, count: topScoreEdges.count + 1)
        inputMeans = [Int](repeating: 0, count: inputMeanEdges.count + 1)
    }

    mutating func loaded(milliseconds: Double) { loadMs = milliseconds }

    mutating func failed() { failures += 1 }

    /// One inference; `prepared` is the milliseconds of pre-processing, `inputMean` that of the 8-bit picture as the
    /// model saw it, or of the first input. What is not finite is not counted.
    mutating func record(milliseconds: Double, prepared: Double, topScore: Double, inputMean: Double) {
        latencies.add(milliseconds)
        if prepared.isFinite { preparations.add(prepared) }
        if topScore.isFinite { topScores[topScoreEdges.filter { $0 <= topScore }.count] += 1 }
        if inputMean.isFinite { inputMeans[inputMeanEdges.filter { $0 <= inputMean }.count] += 1 }
    }

    /// All of it as JSON, which `edgepack monitor` reads; `runtime` says what ran the model.
    func json(runtime: String) throws -> Data {
        var found: [String: Any] = [
            "schema_number": 1, "model": Contract.name, "file": Contract.modelFile, "runtime": runtime,
            "device": Self.device(), "count": latencies.count, "failures": failures, "load_ms": loadMs,
            "latency_ms": latencies.percentiles() ?? NSNull(), "preprocess_ms": preparations.percentiles() ?? NSNull(),
            "memory_mb": Self.peakMemory() ?? NSNull(),
        ]
        found["thermal"] = ["state": Self.thermalState(), "celsius": NSNull()] as [String: Any]
        found["top_score"] = topScoreEdges.isEmpty ? NSNull() as Any : topScores as Any
        found["input_mean"] = inputMeanEdges.isEmpty ? NSNull() as Any : inputMeans as Any
        return try JSONSerialization.data(withJSONObject: found, options: [.sortedKeys])
    }

    /// The last of a row of durations.
    private struct Last {
        private static let kept = 1024
        private(set) var count = 0
        private var values = [Double]()

        mutating func add(_ milliseconds: Double) {
            if values.count < Self.kept { values.append(milliseconds) } else { values[count % Self.kept] = milliseconds }
            count += 1
        }

        /// By nearest rank.
        func percentiles() -> Any? {
            if values.isEmpty { return nil }
            let times = values.sorted()
            func rank(_ share: Double) -> Double { times[max(Int((share * Double(times.count)).rounded(.up)), 1) - 1] }
            let mean = times.reduce(0, +) / Double(times.count)
            return ["mean": mean, "p50": rank(0.5), "p90": rank(0.9), "p99": rank(0.99), "max": times[times.count - 1]]
        }
    }

    private static func thermalState() -> String {
        switch ProcessInfo.processInfo.thermalState {
        case .nominal: "nominal"
        case .fair: "fair"
        case .serious: "serious"
        case .critical: "critical"
        @unknown default: "unknown"
        }
    }

    /// The most memory that the process held, in MB; of Apple's systems getrusage tells it in bytes.
    private static func peakMemory() -> Any? {
        var usage = rusage()
        return getrusage(RUSAGE_SELF, &usage) == 0 ? Double(usage.ru_maxrss) / 1e6 : nil
    }

    /// Such as iPhone17,3.
    private static func device() -> String {
        var info = utsname()
        uname(&info)
        return withUnsafeBytes(of: &info.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
