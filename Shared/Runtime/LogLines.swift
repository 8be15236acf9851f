import Logging
import NIOConcurrencyHelpers

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Where log lines go: standard error, or memory in tests.
public struct LogOutput: Sendable {
    private let write: @Sendable (String) -> Void

    /// - `write`: takes one whole line without its line feed.
    public init(_ write: @escaping @Sendable (String) -> Void) {
        self.write = write
    }

    public func line(_ text: String) { write(text) }

    /// One `write` per line, so that lines of several threads and processes do not mix.
    public static let standardError = LogOutput { text in
        var bytes = Array(text.utf8)
        bytes.append(UInt8(ascii: "\n"))
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                writeBytes(STDERR_FILENO, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            // Nobody reads the log any more; there is nowhere to say so.
            guard count > 0 else { return }
            written += count
        }
    }
}

/// How a log line looks (`LOG_FORMAT`).
public enum LogFormat: String, Sendable, CaseIterable {
    case text
    case json
}

/// A swift-log handler that writes one line per record.
///
/// text: `2026-11-21T01:02:03.000004Z warning redis: connection lost attempt=3 code=refused`
/// json: `{"time":…,"level":…,"logger":…,"message":…,<metadata>}`
public struct LineLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: LogFormat
    private let output: LogOutput
    private let wallClock: WallClock

    public init(
        label: String, level: Logger.Level = .info, format: LogFormat = .text, output: LogOutput = .standardError,
        wallClock: WallClock = .real
    ) {
        self.label = label
        self.logLevel = level
        self.format = format
        self.output = output
        self.wallClock = wallClock
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error, all[Key.error] == nil { all[Key.error] = "\(error)" }
        let sorted = all.map { (key: $0.key, value: "\($0.value)") }.sorted { $0.key < $1.key }
        let time = WallClock.text(wallClock.microseconds)
        output.line(
            format == .text
                ? text(time: time, event: event, metadata: sorted) : json(time: time, event: event, metadata: sorted))
    }

    private func text(time: String, event: LogEvent, metadata: [(key: String, value: String)]) -> String {
        var line = "\(time) \(event.level.rawValue) \(label): \(event.message)"
        for (key, value) in metadata {
            let isPlain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x5C }
            line += " \(key)=\(isPlain ? value : JSONText.quoted(value))"
        }
        // A line feed in a message or a label must not start a second record.
        return line.utf8.contains(0x0A) ? line.replacing("\n", with: "\\n") : line
    }

    private func json(time: String, event: LogEvent, metadata: [(key: String, value: String)]) -> String {
        let fixed = [
            (key: "time", value: time), (key: "level", value: event.level.rawValue), (key: "logger", value: label),
            (key: "message", value: "\(event.message)"),
        ]
        let reserved = Set(fixed.map(\.key))
        let fields = fixed + metadata.map { (key: reserved.contains($0.key) ? "\($0.key)_" : $0.key, value: $0.value) }
        return "{" + fields.map { "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))" }.joined(separator: ",")
            + "}"
    }
}

/// Writes JSON strings by hand: a log line must not depend on an encoder that can throw.
enum JSONText {
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// Log lines kept in memory, for tests and for showing what a process said last; bounded, the oldest go first.
public final class LogCapture: Sendable {
    private let kept: NIOLockedValueBox<[String]>
    private let limit: Int

    public init(limit: Int = 10_000) {
        self.limit = limit
        kept = NIOLockedValueBox([])
    }

    public var lines: [String] { kept.withLockedValue { $0 } }

    public var output: LogOutput {
        LogOutput { [self] line in
            kept.withLockedValue { kept in
                kept.append(line)
                if kept.count > limit { kept.removeFirst(kept.count - limit) }
            }
        }
    }

    /// A logger that writes here.
    public func logger(_ label: String = "test", level: Logger.Level = .trace) -> Logger {
        Logger(label: label) { LineLogHandler(label: $0, level: level, output: self.output) }
    }
}

/// The C function, which a closure named `write` would shadow.
private func writeBytes(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}
