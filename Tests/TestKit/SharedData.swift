import Foundation

/// Real recordings that lie beside the repository, not in it; tests that need them skip with a reason when absent.
public enum SharedData {
    /// `LINESMAN_SHARED_DATA`, else `../shared/data` beside the package.
    public static let directory: String = {
        if let named = ProcessInfo.processInfo.environment["LINESMAN_SHARED_DATA"], !named.isEmpty { return named }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return package.deletingLastPathComponent().appendingPathComponent("shared/data").path
    }()

    public static var isThere: Bool { FileManager.default.fileExists(atPath: directory) }

    /// For `.enabled(if:)`: whether a file or folder below is there.
    public static func has(_ path: String) -> Bool { FileManager.default.fileExists(atPath: "\(directory)/\(path)") }

    public static func path(_ path: String) -> String { "\(directory)/\(path)" }

    public static func read(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(path)")))
    }

    /// The reason to give when a test is skipped.
    public static let reason = "the recordings are not there; set LINESMAN_SHARED_DATA"
}
