import Domain
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The kill switch that needs nothing but a file system: the file is there, or it is not (DESIGN rule 14).
///
/// Beside it, while it is there, lies a folder in which every process of this host writes what it sees.
public struct KillSwitchFile: Hashable, Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// Looks whether the file is there, with a single `stat`.
    ///
    /// Only "no such file" is released; what cannot be looked at is unknown.
    public func read() -> KillSwitchState {
        var status = stat()
        if stat(path, &status) == 0 { return .engaged }
        return errno == ENOENT ? .released : .unknown
    }

    /// The file could not be made or removed.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let path: String
        public let code: Int32
        public var description: String { "\(path): \(String(cString: strerror(code)))" }
    }

    /// Makes the file, with the folders above it, and adds a line that says why; on the disk when it returns.
    public func create(_ line: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure(path: path, code: errno) }
        defer { close(descriptor) }
        // From here on it is engaged; that the reason is not written takes nothing from it.
        let text = line + "\n"
        _ = text.withCString { write(descriptor, $0, text.utf8.count) }
        fsync(descriptor)
        let parent = open(folder, O_RDONLY | O_CLOEXEC)
        if parent >= 0 {
            fsync(parent)
            close(parent)
        }
        // A convenience: without it processes say what they see in the database only.
        try? FileManager.default.createDirectory(atPath: acknowledgements, withIntermediateDirectories: true)
    }

    /// Removes the file; one that is not there is removed already.
    public func remove() throws {
        guard unlink(path) == 0 || errno == ENOENT else { throw Failure(path: path, code: errno) }
        // What is left of it says nothing once the file is gone.
        try? FileManager.default.removeItem(atPath: acknowledgements)
    }

    /// The lines of who engaged it and why; nil when there is no file, or none that can be read.
    public var notes: String? { try? String(contentsOfFile: path, encoding: .utf8) }

    // MARK: Who has seen it

    private var acknowledgements: String { path + ".seen" }

    /// Says what a process of this host sees; does nothing while nobody asks for it.
    func acknowledge(_ acknowledgement: KillSwitchAcknowledgement) {
        guard FileManager.default.fileExists(atPath: acknowledgements),
            let data = try? JSONEncoder().encode(acknowledgement)
        else { return }
        let name = "\(acknowledgement.service)-\(acknowledgement.instance)".replacing("/", with: "_")
        // The database may have it too, and the next look writes it again.
        try? data.write(to: URL(filePath: "\(acknowledgements)/\(name).json"), options: .atomic)
    }

    /// What the processes of this host say that they see; without those that cannot be read.
    public func readAcknowledgements() -> [KillSwitchAcknowledgement] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: acknowledgements)) ?? []
        return names.sorted().compactMap { name in
            guard let data = try? Data(contentsOf: URL(filePath: "\(acknowledgements)/\(name)")) else { return nil }
            return try? JSONDecoder().decode(KillSwitchAcknowledgement.self, from: data)
        }
    }
}

/// What a process says it sees of the kill switch.
public struct KillSwitchAcknowledgement: Hashable, Sendable, Codable {
    public let service: String
    public let instance: String
    public let incarnation: String
    public let sees: KillSwitchState
    /// When it looked, in microseconds since 1970 by the clock of where this is kept.
    public let at: Int64

    public init(service: String, instance: String, incarnation: String, sees: KillSwitchState, at: Int64) {
        self.service = service
        self.instance = instance
        self.incarnation = incarnation
        self.sees = sees
        self.at = at
    }
}
