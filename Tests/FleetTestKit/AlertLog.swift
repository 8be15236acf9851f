import Foundation
import NIOConcurrencyHelpers
import Runtime

/// Reads the alert file as it grows, and notes when each alert was there; evidence that nobody is told is passed over.
public final class AlertLog: Sendable {
    public struct Entry: Sendable {
        /// Wall time in microseconds since 1970 at which the line was seen; up to `AlertLog.look` late.
        public let seenAt: Int64
        /// When the alert was raised, by its own word.
        public let raisedAt: Int64
        public let kind: String
        public let state: String
        public let isHeld: Bool
        public let summary: String
    }

    private struct Line: Decodable {
        let at: Int64
        let kind: String
        let state: String
        let held: Bool?
        let fileOnly: Bool?
        let summary: String

        enum CodingKeys: String, CodingKey {
            case at
            case kind
            case state
            case held
            case fileOnly = "file_only"
            case summary
        }
    }

    /// How often it looks.
    public static let look = Duration.milliseconds(10)

    private let path: String
    private let state = NIOLockedValueBox<(entries: [Entry], offset: Int)>(([], 0))

    /// Reads what is there already.
    public init(path: String) {
        self.path = path
        read()
    }

    public var entries: [Entry] { state.withLockedValue { $0.entries } }
    /// What is wrong, without what comes to tell that the way is open.
    public var firings: [Entry] { entries.filter { $0.state == "firing" } }
    public var recoveries: [Entry] { entries.filter { $0.state == "recovered" } }

    /// Reads until cancelled.
    public func run() async {
        while !Task.isCancelled {
            read()
            // Thrown only by cancellation, which the loop sees.
            try? await MachineClock.real.sleep(for: Self.look)
        }
    }

    private func read() {
        // Not there before the first alert.
        guard let data = FileManager.default.contents(atPath: path) else { return }
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        state.withLockedValue { state in
            // A smaller file is a new one.
            if data.count < state.offset { state.offset = 0 }
            let rest = data.dropFirst(state.offset)
            guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return }
            for line in rest[...end].split(separator: UInt8(ascii: "\n")) {
                guard let line = try? JSONDecoder().decode(Line.self, from: line) else { continue }  // not an alert
                if line.fileOnly == true { continue }
                state.entries.append(
                    Entry(
                        seenAt: now, raisedAt: line.at, kind: line.kind, state: line.state,
                        isHeld: line.held ?? false, summary: line.summary))
            }
            state.offset += rest[...end].count
        }
    }
}
