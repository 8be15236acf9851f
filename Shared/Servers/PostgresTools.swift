import Foundation
import Resilience
import Runtime

/// PostgreSQL's programs, and whom they run as.
struct PostgresTools: Sendable {
    /// The directory of the server programs.
    let binaries: String
    /// What comes before a command so that it runs unprivileged; empty when this process is.
    private let prefix: [String]
    private let owner: (user: uid_t, group: gid_t)

    init() throws(ServersError) {
        let initdb = try Programs.find("initdb", in: Programs.postgresDirectories, package: "postgresql")
        binaries = String(initdb.dropLast("/initdb".count))
        guard geteuid() == 0 else {
            prefix = []
            owner = (geteuid(), getegid())
            return
        }
        guard let entry = getpwnam("postgres") else {
            throw ServersError(
                .noUnprivilegedUser,
                "PostgreSQL refuses to run as root and there is no user postgres; run as another user, or install the "
                    + "Debian package postgresql, which adds one")
        }
        owner = (entry.pointee.pw_uid, entry.pointee.pw_gid)
        let setpriv = try Programs.find("setpriv", package: "util-linux")
        prefix = [setpriv, "--reuid=\(owner.user)", "--regid=\(owner.group)", "--clear-groups", "--"]
    }

    func spawn(
        _ command: String, _ arguments: [String], output: ChildProcess.Output, orphanSignal: Int32 = SIGKILL
    ) throws(ServersError) -> ChildProcess {
        let all = prefix + [command] + arguments
        return try ChildProcess.spawn(
            all[0], Array(all.dropFirst()), environment: Self.environment, directory: "/", output: output,
            orphanSignal: orphanSignal)
    }

    /// Runs a command as the unprivileged user, to its successful end.
    func run(_ command: String, _ arguments: [String]) async throws {
        let child = try spawn(command, arguments, output: .captured)
        do {
            let status = try await withDeadline(.seconds(120), clock: .real) { await child.wait() }
            guard status.isSuccess else {
                throw ServersError(.commandFailed, "\(command): \(status): \(child.captured.suffix(500))")
            }
        } catch {
            await child.kill9()
            throw error
        }
    }

    /// Fails with what to do when the unprivileged user cannot pass through `directory`.
    func checkAccess(to directory: String) async throws {
        guard !prefix.isEmpty else { return }
        do {
            try await run("/usr/bin/test", ["-x", directory])
        } catch {
            throw ServersError(
                .directory,
                "the user postgres cannot enter \(directory); make every folder of the path passable (chmod o+x)")
        }
    }

    /// Makes a directory that only the unprivileged user may enter.
    func makeDirectory(_ path: String) throws(ServersError) {
        guard mkdir(path, 0o700) == 0, chown(path, owner.user, owner.group) == 0 else {
            throw ServersError(.directory, "\(path): \(String(cString: strerror(errno)))")
        }
    }

    /// Nothing of ours reaches the server: a stray `PGDATA` or `PGPORT` would win over nothing good.
    private static var environment: [String: String] {
        var environment = ["LC_ALL": "C", "TZ": "UTC"]
        environment["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        return environment
    }
}

/// One cluster per process as `initdb` left it; others are copies, which takes a tenth of the time.
actor PostgresTemplate {
    static let shared = PostgresTemplate()

    private struct Made: Sendable {
        let directory: TemporaryDirectory
        let password: Secret
    }

    private var making: Task<Made, any Error>?

    func cluster(_ tools: PostgresTools) async throws -> (path: String, password: Secret) {
        // Awaited by everybody who asks; a failed attempt is not kept.
        let task = making ?? Task { try await Self.make(tools) }
        making = task
        do {
            let made = try await task.value
            return ("\(made.directory.path)/t/data", made.password)
        } catch {
            making = nil
            throw error
        }
    }

    /// Removes the cluster; the next who asks has a new one made.
    func remove() async {
        guard let task = making else { return }
        making = nil
        // What was never made leaves nothing to remove.
        (try? await task.value)?.directory.remove()
    }

    private static func make(_ tools: PostgresTools) async throws -> Made {
        let prefix = "linesman-cluster"
        TemporaryDirectory.removeAbandoned(prefix)
        let directory = try TemporaryDirectory(prefix)
        let password = Secret(RandomSource.system.uuid())
        let own = "\(directory.path)/t"
        try tools.makeDirectory(own)
        let file = "\(own)/password"
        // Inside a directory that only the server's user may enter, and gone before anybody else could.
        try password.value.write(toFile: file, atomically: false, encoding: .utf8)
        try await tools.run(
            "\(tools.binaries)/initdb",
            [
                "-D", "\(own)/data", "-U", PrivatePostgres.user, "--pwfile", file, "-E", "UTF8", "--locale=C",
                "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256",
            ])
        try FileManager.default.removeItem(atPath: file)
        return Made(directory: directory, password: password)
    }
}
