import ChaosEngine
import Foundation
import NIOConcurrencyHelpers

/// The alert files of all processes of a suite, read as they grow.
///
/// A process that tells of an alert itself, because nobody else is there to do it, shows here and on no page.
final class AlertFiles: Sendable {
    private struct Line: Decodable {
        let kind: String
        let state: String
        let summary: String?
        /// Evidence, of which no sink is told.
        let isOnlyForFile: Bool?

        enum CodingKeys: String, CodingKey {
            case kind
            case state
            case summary
            case isOnlyForFile = "file_only"
        }
    }

    private let folder: String
    /// Bytes read, by file.
    private let offsets = NIOLockedValueBox<[String: Int]>([:])

    init(in folder: String) { self.folder = folder }

    /// The alerts that were written since the last time; what is not a whole line yet comes with the next.
    func read() -> [Sample.Alert] {
        // A folder that is not there yet, or not any more, has no files.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let files = names.filter { $0.hasPrefix("critical_alerts") && $0.hasSuffix(".log") }.sorted()
        return offsets.withLockedValue { offsets in
            files.flatMap { Self.news("\(folder)/\($0)", &offsets[$0, default: 0]) }
        }
    }

    private static func news(_ path: String, _ offset: inout Int) -> [Sample.Alert] {
        guard let data = FileManager.default.contents(atPath: path), data.count > offset else { return [] }
        let (alerts, length) = lines(in: data.dropFirst(offset))
        offset += length
        return alerts
    }

    /// The alerts of each whole line, and how many bytes these lines are.
    static func lines(in data: Data) -> (alerts: [Sample.Alert], length: Int) {
        guard let end = data.lastIndex(of: UInt8(ascii: "\n")) else { return ([], 0) }
        let whole = data[...end]
        let alerts: [Sample.Alert] = whole.split(separator: UInt8(ascii: "\n")).compactMap { text in
            // What is no alert is none that could be false; whoever is expected and does not come is missed.
            guard let line = try? JSONDecoder().decode(Line.self, from: Data(text)), line.isOnlyForFile != true else {
                return nil
            }
            return Sample.Alert(line.kind, isFiring: line.state == "firing", summary: line.summary ?? "")
        }
        return (alerts, whole.count)
    }
}
