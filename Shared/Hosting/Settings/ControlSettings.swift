import Foundation
import Runtime

/// What whoever gives orders to a running process must know; read alike by the process and the command line.
public struct ControlSettings: Sendable {
    /// Nil when none is set: then no orders are taken.
    public let token: Secret?

    /// The fewest characters of a token; `openssl rand -hex 32` makes one of 64.
    public static let shortestToken = 16

    public init(_ reader: SettingsReader) {
        let direct = reader.secret(
            "CONTROL_TOKEN", "What an operator's order must carry; without one the orchestrator takes no orders.")
        let path = reader.optionalText("CONTROL_TOKEN_FILE", "A file that holds the token, instead of CONTROL_TOKEN.")
        reader.require(
            direct == nil || path == nil, ["CONTROL_TOKEN", "CONTROL_TOKEN_FILE"], "only one of them may be set")
        let read = path.map { Self.read($0) }
        if let read { reader.require(read != nil, ["CONTROL_TOKEN_FILE"], "the file cannot be read") }
        token = direct ?? read.flatMap { $0 }
        reader.require(
            token.map { $0.value.utf8.count >= Self.shortestToken && $0.value.utf8.allSatisfy(Self.isVisible) } ?? true,
            [direct != nil ? "CONTROL_TOKEN" : "CONTROL_TOKEN_FILE"],
            "a token is at least \(Self.shortestToken) visible characters without a space")
    }

    /// The file's text without the line feed at its end.
    private static func read(_ path: String) -> Secret? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        return Secret(text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private static func isVisible(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7F }
}
