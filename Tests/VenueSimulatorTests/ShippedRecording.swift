import Foundation
import Recording

/// What ships in `Recordings/`.
enum ShippedRecording {
    static func torAtCle() throws -> Recording { try read(.torAtCle) }
    static func lacAtCha() throws -> Recording { try read(.lacAtCha) }

    private static func read(_ recording: RecordingImport) throws -> Recording {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let url = root.appending(path: "Recordings/\(recording.fileName)")
        return try Recording(text: String(contentsOf: url, encoding: .utf8))
    }
}
