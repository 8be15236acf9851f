import CSpawn

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// One `posix_spawn` with everything pinned down: own process group, default signals, only the descriptors named.
///
/// The parent may ignore SIGPIPE and trap SIGTERM; a child must not inherit either, nor a listening socket.
enum Spawn {
    /// - `descriptors`: descriptor n of the child is `descriptors[n]` of the parent; at least three.
    static func run(
        _ arguments: [String], environment: [String: String]?, directory: String?, descriptors: [Int32]
    ) throws(ServersError) -> pid_t {
        precondition(descriptors.count >= 3 && !arguments.isEmpty, "a child needs arguments and three descriptors")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        posix_spawn_file_actions_addclosefrom_np(&actions, Int32(descriptors.count))
        if let directory { posix_spawn_file_actions_addchdir_np(&actions, directory) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var pid: pid_t = 0
        let argv = arguments.map { strdup($0) } + [nil]
        let envp = environment.map { $0.map { strdup("\($0.key)=\($0.value)") } + [nil] }
        defer { for pointer in argv + (envp ?? []) { free(pointer) } }
        let code =
            if let envp {
                posix_spawn(&pid, arguments[0], &actions, &attributes, argv, envp)
            } else {
                posix_spawn(&pid, arguments[0], &actions, &attributes, argv, environ)
            }
        guard code == 0 else {
            throw ServersError(.spawnFailed, "\(arguments[0]): \(String(cString: strerror(code)))")
        }
        return pid
    }

    /// A pipe whose ends no other child inherits, both above the descriptors a child is given.
    static func pipe() throws(ServersError) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe2(&ends, O_CLOEXEC) == 0 else {
            throw ServersError(.spawnFailed, "pipe: \(String(cString: strerror(errno)))")
        }
        return (lifted(ends[0]), lifted(ends[1]))
    }

    /// Opens a file for a child, above the descriptors a child is given.
    static func open(_ path: String, _ flags: Int32) throws(ServersError) -> Int32 {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw ServersError(.spawnFailed, "\(path): \(String(cString: strerror(errno)))")
        }
        return lifted(descriptor)
    }

    /// Moves a descriptor to 10 or above, so that no `dup2` of a spawn overwrites one that is still needed.
    static func lifted(_ descriptor: Int32) -> Int32 {
        guard descriptor < 10 else { return descriptor }
        let high = fcntl(descriptor, F_DUPFD_CLOEXEC, 10)
        guard high >= 0 else { return descriptor }
        close(descriptor)
        return high
    }
}
