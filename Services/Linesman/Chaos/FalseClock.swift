import Foundation

/// The wall clock of one process as libfaketime (Debian's package `faketime`) makes it believe.
///
/// Only the wall clock: time-outs and heartbeats are measured by the machine's own.
enum FalseClock {
    private static let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map { "/usr/lib/\($0)/faketime/libfaketimeMT.so.1" }
        .first { FileManager.default.fileExists(atPath: $0) }

    static var isThere: Bool { library != nil }

    /// For a process that is to be lied to; empty where the library is not there.
    static func environment(in folder: String) throws -> [String: String] {
        guard let library else { return [:] }
        try set(.zero, in: folder)
        return [
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": "\(folder)/clock", "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
        ]
    }

    /// How far it is ahead from now on; it is looked at each second.
    static func set(_ offset: Duration, in folder: String) throws {
        try "+\(offset.components.seconds)\n".write(toFile: "\(folder)/clock", atomically: true, encoding: .utf8)
    }
}
