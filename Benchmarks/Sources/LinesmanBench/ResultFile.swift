import Foundation

/// A figure, or what it was measured on.
enum ResultValue: Codable, Hashable {
    case number(Double)
    case text(String)

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Double.self) {  // thrown: not a number
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let number): try container.encode((number * 100_000).rounded() / 100_000)
        case .text(let text): try container.encode(text)
        }
    }
}

/// A flat JSON object of named figures, to which several runs add.
struct ResultFile {
    private let file: URL

    /// `<folder>/<name>.json`; the folder is made when it is not there.
    init(in folder: String, named name: String) {
        file = URL(fileURLWithPath: folder, isDirectory: true).appendingPathComponent("\(name).json")
    }

    /// Writes these figures and keeps what other names hold already.
    func merge(_ figures: [String: ResultValue]) throws(BenchError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        do {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            var merged: [String: ResultValue] = [:]
            if FileManager.default.fileExists(atPath: file.path) {
                merged = try JSONDecoder().decode([String: ResultValue].self, from: Data(contentsOf: file))
            }
            merged.merge(figures) { _, new in new }
            try encoder.encode(merged).write(to: file, options: .atomic)
        } catch {
            throw BenchError(.failure, "\(file.path) cannot be brought up to date: \(error)")
        }
    }
}
