import XCTest

@testable import ModelKit

final class PostprocessorTests: XCTestCase {
    private func info(_ kind: Kind, threshold: Double? = nil, boxFormat: BoxFormat? = nil) -> OutputInfo {
        OutputInfo(
            name: "output", kind: kind, activation: .none, threshold: threshold, boxFormat: boxFormat, relative: false,
            iouThreshold: 0.5, units: "")
    }

    func testSoftmaxIsOverTheLastAxis() {
        let made = Postprocessor.activated(Tensor([1000, 1000, 0, 1], shape: [2, 2]), .softmax)
        XCTAssertEqual(Array(made[0..<2]), [0.5, 0.5])
        XCTAssertEqual(made[2] + made[3], 1, accuracy: 1e-12)
    }

    func testSigmoidDoesNotOverflow() {
        XCTAssertEqual(Postprocessor.activated(Tensor([-1000, 0, 1000], shape: [1, 3]), .sigmoid), [0, 0.5, 1])
    }

    func testClassesBelowTheThresholdAreLeftOut() {
        let post = Postprocessor(labels: ["a", "b", "c"], outputs: [info(.classification, threshold: 0.2)])
        XCTAssertEqual(post.classes([Tensor([0.1, 0.7, 0.2], shape: [1, 3])]).map(\.label), ["b", "c"])
    }

    func testAClassSNumberBecomesItsLabel() {
        let post = Postprocessor(labels: ["a", "b"], outputs: [info(.class)])
        let found = [Tensor(filledWith: 1, type: .int64, shape: [1])]
        XCTAssertEqual(post.bestClass(found), "b")
        XCTAssertTrue(post.topScore(found).isNaN)
    }

    func testOfTwoBoxesThatOverlapTheBetterOneStays() {
        let outputs = [info(.detection, boxFormat: .cxcywh), info(.detection, threshold: 0.3)]
        let post = Postprocessor(labels: ["a", "b"], outputs: outputs)
        let boxes = Tensor([5, 5, 4, 4, 5, 5, 4, 5, 5, 5, 4, 4, 50, 5, 4, 4], shape: [1, 4, 4])
        let scores = Tensor([0.6, 0, 0.9, 0, 0, 0.5, 0.1, 0.2], shape: [1, 4, 2])
        let framing = Framing(scaleX: 2, scaleY: 1, offsetX: 1, offsetY: 0)
        let found = post.detections([boxes, scores], framing: framing)
        XCTAssertEqual(found.map(\.what.label), ["a", "b"])
        XCTAssertEqual(found.first?.box, Box(1, 2.5, 3, 7.5))
    }

    func testEachPixelHasItsBestClass() {
        let post = Postprocessor(labels: ["a", "b"], outputs: [info(.segmentation)])
        XCTAssertEqual(post.classMap([Tensor([1, 0, 0, 1], shape: [1, 2, 1, 2])])?.classes, [0, 1])
    }

    func testLabelsAreUnescaped() {
        XCTAssertEqual(Labels.parse("a\\nb\nc\\\\d\n\ne\\r\n"), ["a\nb", "c\\d", "", "e\r"])
    }

    func testRowsOfAFrameMayBeLongerThanTheirPixels() {
        let bytes: [UInt8] = [3, 2, 1, 0, 9, 9, 6, 5, 4, 0, 9, 9]
        let picture = bytes.withUnsafeBytes { Picture(bgra: $0, width: 1, height: 2, bytesPerRow: 6) }
        XCTAssertEqual(picture.pixels, [1, 2, 3, 4, 5, 6])
    }
}
