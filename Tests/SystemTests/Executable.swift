import Foundation

/// The executables that were built with these tests.
enum Executable {
    /// The folder of the test bundle, where everything of one build lies.
    static let folder: URL = {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") }
        let path = bundle ?? (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(filePath: path).deletingLastPathComponent()
    }()

    static func path(_ name: String) -> String { folder.appending(path: name).path }

    /// What a shell would give, without any setting of Linesman's own but where to put files.
    static func environment(temporary: String, _ more: [String: String] = [:]) -> [String: String] {
        var environment = ["TMPDIR": temporary, "DB_JOURNAL_PATH": "\(temporary)/journal"]
        for key in ["PATH", "HOME", "LD_LIBRARY_PATH"] { environment[key] = ProcessInfo.processInfo.environment[key] }
        environment["LINESMAN_RECORDINGS"] =
            URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Recordings").path
        return environment.merging(more) { $1 }
    }
}
