import Foundation

/// The log file that one process writes to: what it said in this life, and what is new.
///
/// A file and not a pipe: a supervisor or terminal that stands still must not hold up a process that logs.
struct ChildLog: Sendable {
    let path: String
    private var lifeBegins: UInt64 = 0
    private var followed: UInt64 = 0

    /// The most of a log that is looked at for what a process said last.
    private static let tail: UInt64 = 64 << 10

    init(path: String) {
        self.path = path
        followed = size
    }

    var size: UInt64 {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        // Not there is empty.
        return (attributes?[.size] as? UInt64) ?? 0
    }

    /// A new life begins: what is there is not its own.
    mutating func begin() { lifeBegins = size }

    /// What this life said that explains its end: a refusal whole, else its last serious line, else its last.
    func lastWords(isRefusal: Bool) -> [String] {
        let end = size
        let start = max(lifeBegins <= end ? lifeBegins : 0, end > Self.tail ? end - Self.tail : 0)
        let lines = read(from: start, most: Int(Self.tail)).split(separator: "\n").map { String($0.prefix(300)) }
        if isRefusal, let first = lines.firstIndex(where: { $0.contains(" in the settings") }) {
            return Array(lines[first...].filter { !$0.contains(": process ends") }.prefix(10))
        }
        let serious = lines.last { line in
            ["Fatal error", " critical ", " error "].contains { line.contains($0) }
        }
        return (serious ?? lines.last).map { [$0] } ?? []
    }

    /// Whole lines that were not returned before, at most `most` bytes of them.
    mutating func newLines(most: Int = 64 << 10) -> [String] {
        let end = size
        if end < followed { followed = 0 }
        guard end > followed else { return [] }
        let text = bytes(from: followed, most: most)
        // A line longer than all that is read at once is cut.
        guard let last = text.lastIndex(of: 0x0A) ?? (text.count == most ? text.indices.last : nil) else { return [] }
        let whole = text[...last]
        followed += UInt64(whole.count)
        return String(decoding: whole, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Puts the log aside as `PATH.1` when it is larger than `limit`; the writer goes on at the beginning.
    ///
    /// The process keeps its descriptor, so the file is copied and emptied; lines between the two are lost.
    mutating func rotate(over limit: UInt64) {
        guard size > limit else { return }
        let old = "\(path).1"
        // None there is as good as removed; what cannot be copied is kept where it is, and tried again.
        try? FileManager.default.removeItem(atPath: old)
        guard (try? FileManager.default.copyItem(atPath: path, toPath: old)) != nil else { return }
        truncate(path, 0)
        lifeBegins = 0
        followed = 0
    }

    private func read(from offset: UInt64, most: Int) -> String {
        String(decoding: bytes(from: offset, most: most), as: UTF8.self)
    }

    private func bytes(from offset: UInt64, most: Int) -> Data {
        guard let file = FileHandle(forReadingAtPath: path) else { return Data() }
        defer { try? file.close() }
        // A log that cannot be read says nothing.
        guard (try? file.seek(toOffset: offset)) != nil else { return Data() }
        return (try? file.read(upToCount: most)) ?? Data()
    }
}
