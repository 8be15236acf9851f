import Foundation

/// The file that tells whoever started the simulator where it listens.
enum ReadyFile {
    /// Writes `{"http":port,"ws":port,"pid":…}`; a reader sees all of it or nothing.
    static func write(http: Int, webSocket: Int, to path: String) throws {
        let body: JSONText = [
            "http": .integer(Int64(http)), "ws": .integer(Int64(webSocket)),
            "pid": .integer(Int64(ProcessInfo.processInfo.processIdentifier)),
        ]
        try Data((body.text + "\n").utf8).write(to: URL(filePath: path), options: .atomic)
    }
}
