import XCTest

@testable import ModelKit

final class MonitorTests: XCTestCase {
    private func told(_ monitor: Monitor) throws -> [String: Any] {
        let found = try JSONSerialization.jsonObject(with: monitor.json(runtime: "a \"runtime\""))
        return try XCTUnwrap(found as? [String: Any])
    }

    func testPercentilesAreOfTheNearestRank() throws {
        var monitor = Monitor(topScoreEdges: [0.5], inputMeanEdges: [10, 20])
        for n in 1...100 {
            monitor.record(milliseconds: Double(n), prepared: 2 * Double(n), topScore: n > 90 ? 0.5 : 0.1, inputMean: 15)
        }
        let found = try told(monitor)
        let latency = try XCTUnwrap(found["latency_ms"] as? [String: Double])
        XCTAssertEqual([latency["p50"], latency["p90"], latency["p99"], latency["max"]], [50, 90, 99, 100])
        XCTAssertEqual((found["preprocess_ms"] as? [String: Double])?["p90"], 180)
        XCTAssertEqual(found["top_score"] as? [Int], [90, 10])
        XCTAssertEqual(found["input_mean"] as? [Int], [0, 100, 0])
        XCTAssertEqual(found["runtime"] as? String, "a \"runtime\"")
    }

    func testWhatIsNotFiniteIsNotCounted() throws {
        var monitor = Monitor(topScoreEdges: [0.5], inputMeanEdges: [])
        monitor.record(milliseconds: 1, prepared: .nan, topScore: .nan, inputMean: .nan)
        let found = try told(monitor)
        XCTAssertEqual(found["top_score"] as? [Int], [0, 0])
        XCTAssertTrue(found["input_mean"] is NSNull)
        XCTAssertTrue(found["preprocess_ms"] is NSNull)
    }
}
