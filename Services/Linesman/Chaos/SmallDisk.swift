import Foundation
import Glibc
import Runtime
import Servers

/// A small file system in memory, which can be filled without filling the machine.
///
/// Only where this process may mount and is in a mount namespace of its own, so that nothing stays when it is killed.
struct SmallDisk: Sendable {
    static let megabytes = 768
    private static let mark = "LINESMAN_OWN_MOUNTS"

    let path: String

    /// Starts this program again in a mount namespace of its own; returns where that is not possible, or not needed.
    static func enterOwnNamespace() async {
        guard geteuid() == 0, ProcessInfo.processInfo.environment[mark] == nil,
            let unshare = try? Programs.find("unshare", package: "util-linux"),
            let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        else { return }
        let apart = ["--mount", "--propagation", "private"]
        // A container's root may not: then everything but a full disk can be rehearsed.
        guard (try? await ChildProcess.run(unshare, apart + ["true"]))?.status.isSuccess == true else { return }
        let words = [unshare] + apart + [own] + CommandLine.arguments.dropFirst()
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        setenv(mark, "1", 1)
        // Returns only when it failed.
        execv(unshare, &arguments)
        unsetenv(mark)
    }

    /// Nil where it cannot be.
    static func mount(below folder: String) async -> SmallDisk? {
        guard ProcessInfo.processInfo.environment[mark] != nil else { return nil }
        let disk = SmallDisk(path: "\(folder)/disk")
        guard (try? FileManager.default.createDirectory(atPath: disk.path, withIntermediateDirectories: true)) != nil
        else { return nil }
        let options = "size=\(megabytes)m,mode=0711"
        let ran = try? await ChildProcess.run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", disk.path])
        return ran?.status.isSuccess == true ? disk : nil
    }

    /// Leaves not a byte.
    func fill() async throws {
        // Ends with an error when it is full, as it must.
        let filler = "\(path)/filler"
        _ = try await ChildProcess.run("sh", ["-c", "cat /dev/zero >> \"$0\"", filler], timeout: .seconds(30))
        guard FileManager.default.fileExists(atPath: filler) else {
            throw ChaosFailure("nothing could be written to \(path)")
        }
    }

    func clear() {
        // Absent where it was never filled.
        try? FileManager.default.removeItem(atPath: "\(path)/filler")
    }

    func unmount() async {
        // A busy one goes with the namespace.
        _ = try? await ChildProcess.run("umount", [path])
    }
}
