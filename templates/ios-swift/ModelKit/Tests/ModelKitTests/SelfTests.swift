import XCTest

@testable import ModelKit

/// The golden vectors, replayed on this device and compared with what this very file gave on the build host.
final class SelfTests: XCTestCase {
    func testThePictureBecomesTheTensorOfTheBuild() throws {
        guard let (picture, wanted) = try Golden().picture, let input = Contract.picture else {
            throw XCTSkip("the model takes no picture")
        }
        let preprocessor = Preprocessor(input)
        let frame = preprocessor.frame(picture).picture
        XCTAssertEqual(preprocessor.tensor(frame), wanted)
        XCTAssertEqual(preprocessor.frame(of: wanted), frame)
    }

    func testEverySampleMatches() async throws {
        let golden = try Golden()
        let model = try await Model()
        for (n, inputs) in golden.inputs.enumerated() {
            await model.reset()
            let answer = try await model.run(inputs)
            XCTAssertEqual(Golden.problem(answer.outputs, golden.wanted[n]), "", "sample \(n)")
        }
    }
}
