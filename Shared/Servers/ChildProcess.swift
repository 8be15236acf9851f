import CSpawn
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// A program started by this process that does not outlive it, however this process ends.
///
/// Beside each child a small watching shell holds a pipe from this process. When the pipe closes without a word (this
/// process is gone, by SIGKILL for example) it ends the child's process group. The child begins only after its watcher
/// is there: it first waits for a go on a pipe of its own.
public final class ChildProcess: Sendable {
    public enum Output: Hashable, Sendable {
        case discard
        /// This process's own.
        case inherit
        /// Appended to a file.
        case file(String)
        /// Kept in an unnamed file that vanishes with this process; read it with `captured`.
        case captured
    }

    public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
        case exited(Int32)
        case signalled(Int32)

        public var isSuccess: Bool { self == .exited(0) }

        public var description: String {
            switch self {
            case .exited(let code): "exit code \(code)"
            case .signalled(let number): "signal \(number)"
            }
        }
    }

    public let processID: Int32
    private let hasEnded = NIOLockedValueBox(false)
    private let status = Promise<ExitStatus>()
    /// The unnamed file, for `Output.captured`.
    private let capture: CaptureFile?

    /// Starts a program in its own process group, with nothing on its standard input.
    ///
    /// - `command`: a path, or a name that is looked up in `PATH`.
    /// - `environment`: all of it; nil for this process's own.
    /// - `errors`: where standard error goes; nil for the same place as standard output.
    /// - `orphanSignal`: what the watcher sends first when this process is gone; SIGKILL follows after 5 s.
    public static func spawn(
        _ command: String, _ arguments: [String] = [], environment: [String: String]? = nil, directory: String? = nil,
        output: Output = .discard, errors: Output? = nil, orphanSignal: Int32 = SIGKILL
    ) throws(ServersError) -> ChildProcess {
        let capture = output == .captured || errors == .captured ? try CaptureFile() : nil
        let input = try Spawn.open("/dev/null", O_RDONLY)
        defer { close(input) }
        let out = try descriptor(output, STDOUT_FILENO, capture)
        defer { close(out) }
        let err = try descriptor(errors ?? output, STDERR_FILENO, capture)
        defer { close(err) }
        let gate = try Spawn.pipe()
        defer { close(gate.write) }
        defer { close(gate.read) }
        let waitForGo = "IFS= read -r go <&3 || exit 125; exec 3<&-; exec \"$@\""
        let pid = try Spawn.run(
            ["/bin/sh", "-c", waitForGo, "sh", command] + arguments, environment: environment, directory: directory,
            descriptors: [input, out, err, gate.read])
        let child = ChildProcess(processID: pid, capture: capture)
        let watcher: Watcher
        do {
            watcher = try Watcher(watching: pid, orphanSignal: orphanSignal)
        } catch {
            // Without its watcher the child must not begin: its gate closes unopened and it ends by itself.
            child.reap(nil)
            throw error
        }
        child.reap(watcher)
        _ = write(gate.write, "go\n", 3)
        return child
    }

    private init(processID: Int32, capture: CaptureFile?) {
        self.processID = processID
        self.capture = capture
    }

    /// Waits for the end.
    public func wait() async -> ExitStatus { await status.value() }

    /// How it ended; nil while it runs.
    public var exitStatus: ExitStatus? { status.current }

    public var isRunning: Bool { !hasEnded.withLockedValue { $0 } }

    /// What it wrote to a `captured` output so far.
    public var captured: String { capture?.text ?? "" }

    /// Signals the program itself; nothing once it has ended, so that a recycled process id is never hit.
    public func signal(_ number: Int32) {
        hasEnded.withLockedValue { hasEnded in
            if !hasEnded { kill(processID, number) }
        }
    }

    /// Signals its whole process group.
    public func signalGroup(_ number: Int32) {
        hasEnded.withLockedValue { hasEnded in
            if !hasEnded { kill(-processID, number) }
        }
    }

    /// Asks it to end, kills its group after `killAfter`, and waits until it is gone.
    @discardableResult
    public func terminate(
        with number: Int32 = SIGTERM, killAfter: Duration = .seconds(10), clock: MachineClock = .real
    ) async -> ExitStatus {
        signal(number)
        // A stopped process would take the signal only when continued.
        signalGroup(SIGCONT)
        do {
            return try await withDeadline(killAfter, clock: clock) { await self.wait() }
        } catch {
            signalGroup(SIGKILL)
            return await wait()
        }
    }

    /// Kills its group at once and waits until it is gone.
    @discardableResult
    public func kill9() async -> ExitStatus {
        signalGroup(SIGKILL)
        return await wait()
    }

    /// Resident memory of the program; nil once it has ended.
    public var rssMegabytes: Double? {
        guard isRunning, let text = try? String(contentsOfFile: "/proc/\(processID)/statm", encoding: .utf8) else {
            // The process may end between the two; that is the same answer.
            return nil
        }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Double($0) }
        return pages.map { $0 * Double(sysconf(Int32(_SC_PAGESIZE))) / 1_048_576 }
    }

    /// Runs a program to its end and returns what it wrote; kills it at the time-out.
    public static func run(
        _ command: String, _ arguments: [String] = [], environment: [String: String]? = nil, directory: String? = nil,
        timeout: Duration = .seconds(60), clock: MachineClock = .real
    ) async throws -> (status: ExitStatus, output: String) {
        let child = try spawn(
            command, arguments, environment: environment, directory: directory, output: .captured)
        do {
            let status = try await withDeadline(timeout, clock: clock) { await child.wait() }
            return (status, child.captured)
        } catch {
            await child.kill9()
            throw error
        }
    }

    // MARK: - The end

    /// Collects the child on a thread of its own: `waitpid` blocks for as long as the child lives.
    private func reap(_ watcher: Watcher?) {
        Thread.detachNewThread { [self] in
            var info = siginfo_t()
            while waitid(P_PID, id_t(processID), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
            // Still a zombie, so the group's number cannot be anybody else's yet: end what the child left behind.
            hasEnded.withLockedValue { hasEnded in
                hasEnded = true
                kill(-processID, SIGKILL)
            }
            var raw: Int32 = 0
            while waitpid(processID, &raw, 0) < 0 && errno == EINTR {}
            watcher?.dismiss()
            let number = raw & 0x7F
            status.fulfil(number == 0 ? .exited((raw >> 8) & 0xFF) : .signalled(number))
        }
    }

    private static func descriptor(
        _ output: Output, _ own: Int32, _ capture: CaptureFile?
    ) throws(ServersError) -> Int32 {
        switch output {
        case .discard: return try Spawn.open("/dev/null", O_WRONLY)
        case .inherit: return Spawn.lifted(dup(own))
        case .file(let path): return try Spawn.open(path, O_WRONLY | O_CREAT | O_APPEND)
        case .captured: return Spawn.lifted(dup(capture?.descriptor ?? own))
        }
    }
}

/// An unnamed file that two descriptors share.
private final class CaptureFile: Sendable {
    let descriptor: Int32

    init() throws(ServersError) {
        // 1 is MFD_CLOEXEC.
        descriptor = memfd_create("captured", 1)
        guard descriptor >= 0 else {
            throw ServersError(.spawnFailed, "memfd_create: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    var text: String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = pread(descriptor, &buffer, buffer.count, off_t(bytes.count))
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }
}

/// The shell that ends a child when this process is gone.
///
/// A server's children may be in groups of their own, and stopped: they could not obey the server, and would stay.
private final class Watcher: Sendable {
    private let processID: pid_t
    private let pipe: Int32

    init(watching child: pid_t, orphanSignal: Int32) throws(ServersError) {
        let script = """
            if IFS= read -r word <&3; then exit 0; fi
            kill -s CONT -- -$1 $(cat /proc/$1/task/$1/children); kill -s $2 -- -$1
            n=0
            while [ $n -lt 50 ] && kill -s 0 -- -$1; do sleep 0.1; n=$((n + 1)); done
            kill -s KILL -- -$1
            """
        let null = try Spawn.open("/dev/null", O_RDWR)
        defer { close(null) }
        let ends = try Spawn.pipe()
        defer { close(ends.read) }
        do {
            processID = try Spawn.run(
                ["/bin/sh", "-c", script, "sh", "\(child)", "\(orphanSignal)"], environment: nil, directory: "/",
                descriptors: [null, null, null, ends.read])
        } catch {
            close(ends.write)
            throw error
        }
        pipe = ends.write
    }

    /// Lets it go: the child is gone.
    func dismiss() {
        _ = write(pipe, "done\n", 5)
        close(pipe)
        var raw: Int32 = 0
        while waitpid(processID, &raw, 0) < 0 && errno == EINTR {}
    }
}
