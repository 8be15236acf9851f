import Foundation
import NIOConcurrencyHelpers

/// A directory that is gone when it is removed or when this process ends, however it ends.
///
/// Should even its guard be killed, it shows by a lock that nobody needs it any more (`removeAbandoned`).
public final class TemporaryDirectory: Sendable {
    public let path: String
    /// Holds the lock; the kernel lets it go with this process.
    private let lock: NIOLockedValueBox<Int32?>

    /// Makes a directory of its own below the system's temporary one; short enough for a Unix socket inside.
    ///
    /// - `isKept`: whether it stays when this process ends, for a person to look at.
    public init(_ prefix: String = "linesman", isKept: Bool = false) throws(ServersError) {
        let base = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
        var template = Array("\(base)/\(prefix)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw ServersError(.directory, "cannot make a directory in \(base): \(String(cString: strerror(errno)))")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // Others may pass through, not look: PostgreSQL runs as somebody else when this process is root.
        chmod(path, 0o711)
        let descriptor = Self.locked(path)
        lock = NIOLockedValueBox(descriptor)
        if !isKept { try DirectoryGuard.shared.register(path) }
    }

    public func remove() {
        // What is left is removed by the guard when this process ends.
        try? FileManager.default.removeItem(atPath: path)
        unlock()
    }

    deinit { unlock() }

    private func unlock() {
        if let descriptor = lock.withLockedValue({ $0.take() }) { close(descriptor) }
    }

    /// Nil when somebody else holds it, or the directory is gone.
    private static func locked(_ path: String) -> Int32? {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    // MARK: - What others have left

    /// An empty one that is younger may not be locked yet.
    private static let youth: Double = 5

    /// Removes directories of this prefix that processes have left which were killed together with their guards.
    ///
    /// Only for a prefix whose directories are never kept.
    public static func removeAbandoned(_ prefix: String) {
        let base = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
        // Nothing to be seen is nothing to remove.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        let own = names.filter { $0.hasPrefix("\(prefix)-") && $0.utf8.count == prefix.utf8.count + 7 }
        for name in own {
            let path = "\(base)/\(name)"
            var facts = stat()
            guard stat(path, &facts) == 0, facts.st_uid == geteuid() else { continue }
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            // Nothing is written into one before it is locked, and much until its owner is killed.
            let isNew =
                Double(now.tv_sec - facts.st_mtim.tv_sec) <= youth
                && (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty != false
            guard !isNew, let lock = locked(path) else { continue }
            try? FileManager.default.removeItem(atPath: path)
            close(lock)
        }
    }
}

/// One shell per process that removes the registered directories when the process is gone.
private final class DirectoryGuard: Sendable {
    static let shared = DirectoryGuard()

    private let pipe = NIOLockedValueBox<Int32?>(nil)

    func register(_ path: String) throws(ServersError) {
        let started: Result<Void, ServersError> = pipe.withLockedValue { pipe in
            do throws(ServersError) {
                let end: Int32
                if let pipe { end = pipe } else { end = try start() }
                pipe = end
                let line = Array((path + "\n").utf8)
                // Shorter than PIPE_BUF, so written at once or not at all.
                _ = write(end, line, line.count)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try started.get()
    }

    private func start() throws(ServersError) -> Int32 {
        // Again: servers that are being ended at the same time may still write. What is mounted inside goes first.
        let script = """
            set --
            while IFS= read -r path <&3; do set -- "$@" "$path"; done
            for pause in 0.3 2 5; do
                sleep "$pause"
                for path in "$@"; do umount -l "$path"/*; done
                rm -rf -- "$@"
            done
            """
        let null = try Spawn.open("/dev/null", O_RDWR)
        defer { close(null) }
        let ends = try Spawn.pipe()
        defer { close(ends.read) }
        // Ends by itself after this process; nobody waits for it.
        _ = try Spawn.run(
            ["/bin/sh", "-c", script, "sh"], environment: nil, directory: "/",
            descriptors: [null, null, null, ends.read])
        return ends.write
    }
}
