import Foundation

/// Runs a program of `Tests/Oracle`: an answer from somebody who shares no code and no constant with the suite.
public enum Oracle {
    /// Where `python3` is, in the folders of `PATH`; nil when it is not installed.
    public static let python: String? = {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/python3" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// The reason to give when a test is skipped.
    public static let reason = "python3 is not installed"

    public struct Failure: Error {
        public let status: Int32
    }

    /// The words of each line that `script` printed.
    public static func run(_ script: String, _ arguments: String...) throws -> [[Substring]] {
        guard let python else { throw Failure(status: 127) }
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let process = Process()
        process.executableURL = URL(filePath: python)
        process.arguments = [folder.appending(path: "Oracle/\(script)").path] + arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(status: process.terminationStatus) }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map { $0.split(separator: " ") }
    }
}
