import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Why an alert could not be written down or delivered.
public struct AlertError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case file
        case refused
        case unavailable
        case throttled
    }

    public let code: Code
    /// Never holds an address of a webhook.
    public let message: String

    public var description: String { "\(code.rawValue): \(message)" }
    /// Whether the same alert may be taken another time.
    public var isTransient: Bool { code == .unavailable || code == .throttled }
}

/// The synced file that every alert is written to before anything else happens with it.
struct AlertFile: Sendable {
    let path: String

    /// Appends one line and syncs it; the directory is created when it is missing.
    func append(_ alert: Alert) throws {
        let folder = URL(filePath: path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw AlertError(code: .file, message: "cannot create \(folder)")
        }
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else {
            throw AlertError(code: .file, message: "cannot open \(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        let line = try alert.line()
        let written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written == line.count, fsync(descriptor) == 0 else {
            throw AlertError(code: .file, message: "cannot write \(path): \(String(cString: strerror(errno)))")
        }
    }
}
