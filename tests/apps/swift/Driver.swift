import CoreVideo
import Foundation
import XCTest

@testable import ModelKit

/// What tests ask of the package, a line each on stdin, words parted by a tab; with the argument `tests`, its unit tests.
///
///     picture PIXELS.npy ORIENTATION OUT [CONTRACT…]   pre-process; pixels [H, W], [H, W, 3] or [H, W, 4]
///     bgra BYTES WIDTH HEIGHT ORIENTATION OUT          a pixel buffer in 32BGRA, turned upright
///     classes OUTPUT.npy LABELS.txt                    print the labels and scores of an output
///     labels LABELS.txt                                print all labels, a zero byte after each
///     texts                                            print the contract's texts, a zero byte after each
///     monitor OUT                                      write what a monitor saw of three inferences
@main
enum Driver {
  static func main() throws {
    if CommandLine.arguments.contains("tests") { XCTMain(unitTests(), arguments: [CommandLine.arguments[0]]) }
    while let line = readLine() {
      let words = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      switch words[0] {
      case "picture": try picture(words)
      case "bgra": try frame(words)
      case "classes": try classes(Npy.parse(read(words[1])), words[2])
      case "labels": try Labels.parse(String(decoding: read(words[1]), as: UTF8.self)).forEach(show)
      case "texts": [Contract.name, Contract.device, Contract.modelFile, Contract.outputs[0].name].forEach(show)
      case "monitor": try monitored(words[1])
      default: throw ModelError("what is \(words[0])?")
      }
    }
  }

  static func read(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  static func write(_ data: Data, _ path: String) throws { try data.write(to: URL(fileURLWithPath: path)) }

  static func show(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8) + [0]) }

  static func picture(_ words: [String]) throws {
    let raw = try Npy.parse(read(words[1]))
    let (high, wide, given) = (raw.shape[0], raw.shape[1], [UInt8](raw.data))
    let depth = raw.shape.count > 2 ? raw.shape[2] : 1
    let picture =
      depth == 4
      ? Picture(rgba: given, width: wide, height: high)
      : Picture(width: wide, height: high, channels: depth, pixels: given)
    guard let input = words.count > 4 ? contract(Array(words[4...])) : Contract.picture else { return }
    let preprocessor = Preprocessor(input)
    let frame = preprocessor.frame(picture.upright(orientation: Int(words[2]) ?? 1)).picture
    let tensor = preprocessor.tensor(frame)
    guard preprocessor.frame(of: tensor) == frame else { throw ModelError("the frame does not come back from its tensor") }
    try write(tensor.data, words[3])
  }

  static func contract(_ words: [String]) -> PictureInput {
    let numbers = words.map { Double($0) ?? .nan }
    let whole = numbers.prefix(11).map { Int($0) }
    let rest = Array(numbers[13...])
    return PictureInput(
      height: whole[0], width: whole[1], depth: whole[2], blueFirst: whole[3] == 1, planes: whole[4] == 1,
      bytes: whole[5] == 1, resize: [.stretch, .shorterSide, .letterbox][whole[6]], shorterSide: whole[7],
      padValue: UInt8(whole[8]), filter: [.nearest, .bilinear, .bicubic][whole[9]], antialias: whole[10] == 1,
      low: numbers[11], high: numbers[12], mean: Array(rest.prefix(rest.count / 2)), std: Array(rest.suffix(rest.count / 2)))
  }

  static func frame(_ words: [String]) throws {
    let bytes = try read(words[1])
    guard let width = Int(words[2]), let height = Int(words[3]), let orientation = Int(words[4]) else { return }
    var made: CVPixelBuffer?
    CVPixelBufferCreate(nil, width, height, kCVPixelFormatType_32BGRA, nil, &made)
    guard let buffer = made, let base = CVPixelBufferGetBaseAddress(buffer) else { return }
    for y in 0..<height {
      let row = base + y * CVPixelBufferGetBytesPerRow(buffer)
      bytes.copyBytes(to: UnsafeMutableRawBufferPointer(start: row, count: 4 * width), from: y * 4 * width..<(y + 1) * 4 * width)
    }
    let picture = try Picture(frame: buffer).upright(orientation: orientation)
    try write(Data(picture.pixels), words[5])
  }

  static func classes(_ output: ModelKit.Tensor, _ labels: String) throws {
    let names = Labels.parse(String(decoding: try read(labels), as: UTF8.self))
    for found in Postprocessor(labels: names).classes([output], count: output.count) {
      print("\(found.score)\t\(found.number)\t\(found.label)")
    }
  }

  static func monitored(_ path: String) throws {
    var monitor = Monitor()
    monitor.loaded(milliseconds: 12.5)
    for value in [1.0, 2.0, 3.0] {
      monitor.record(milliseconds: value, prepared: value * 2, topScore: value / 4, inputMean: value * 50)
    }
    monitor.failed()
    try write(monitor.json(runtime: "a \"runtime\""), path)
  }
}
