import Foundation
import Glibc
import Resilience
import Runtime
import Servers

/// A group of processes that may use so much memory and no more (a memory cgroup, v1 or v2), as a container is one.
///
/// What a process had before it was put in does not count, so it is driven over the limit by a neighbour that takes
/// whatever it can get; of the two the kernel ends first the one that it was told to prefer. A limit on addresses
/// (`prlimit --as`) would be no such death: what is refused is met as a failed allocation, wherever that happens to be,
/// or never, while all it has is used again.
struct MemoryGroup: Sendable {
    private static let prefix = "linesman-rehearsal"
    /// Enough for the neighbour to start, and nothing for a process of the suite.
    private static let bytes = 4 << 20

    private let hierarchy: MemoryHierarchy
    private let path: String

    /// Where there can be one; nil where there can be none.
    private static let place: MemoryHierarchy? = {
        guard geteuid() == 0 else { return nil }
        // A kernel without groups has no such file.
        let membership = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
        return MemoryHierarchy.find(in: "/sys/fs/cgroup", membership: membership)
    }()

    /// Why there can be none; nil when there can.
    static var obstacle: String? {
        place == nil ? "needs the right to bound memory (root, and a memory cgroup of v1 or v2 to make one in)" : nil
    }

    /// Lets the memory of a process run out, and returns when the kernel has ended it.
    ///
    /// - Throws: `ChaosFailure` when it has not within ten seconds, or was ended by anything else.
    static func exhaust(_ child: ChildProcess, clock: MachineClock) async throws {
        guard let place else { throw ChaosFailure("no memory can be bounded here") }
        removeAbandoned(in: place.parent)
        let group = MemoryGroup(
            hierarchy: place, path: "\(place.parent)/\(prefix)-\(getpid())-\(child.processID)")
        try FileManager.default.createDirectory(atPath: group.path, withIntermediateDirectories: false)
        do {
            try await group.end(child, clock: clock)
        } catch {
            await group.remove(clock: clock)
            throw error
        }
        await group.remove(clock: clock)
    }

    private func end(_ child: ChildProcess, clock: MachineClock) async throws {
        try set(hierarchy.limit, "\(Self.bytes)")
        if hierarchy.version == .two, access("\(path)/memory.swap.max", F_OK) == 0 { try set("memory.swap.max", "0") }
        // Of all in the group it goes first.
        try "1000".write(toFile: "/proc/\(child.processID)/oom_score_adj", atomically: false, encoding: .utf8)
        try set("cgroup.procs", "\(child.processID)")
        let script = "echo $$ > \"$0/cgroup.procs\" && exec tail /dev/zero"
        let neighbour = try ChildProcess.spawn("sh", ["-c", script, path])
        do {
            // The neighbour outlives it for as long as that takes to meet the limit alone.
            _ = try await withDeadline(.seconds(10), clock: clock) { await child.wait() }
        } catch {
            await neighbour.kill9()
            await child.kill9()
            throw ChaosFailure("process \(child.processID) lives on without memory")
        }
        await neighbour.kill9()
        let status = await child.wait()
        guard status == .signalled(SIGKILL), kills > 0 else {
            throw ChaosFailure("process \(child.processID) was not ended for want of memory: \(status)")
        }
    }

    private func set(_ key: String, _ value: String) throws {
        try value.write(toFile: "\(path)/\(key)", atomically: false, encoding: .utf8)
    }

    /// How many the kernel has ended here.
    private var kills: Int {
        // A group that is gone has ended nobody.
        let text = (try? String(contentsOfFile: "\(path)/\(hierarchy.events)", encoding: .utf8)) ?? ""
        return MemoryHierarchy.kills(in: text)
    }

    /// As soon as the kernel has done with those who were in it; a later rehearsal removes what is left.
    private func remove(clock: MachineClock) async {
        for _ in 0..<100 where rmdir(path) != 0 && errno == EBUSY {
            // Cancelled, it is left.
            try? await clock.sleep(for: .milliseconds(20))
        }
    }

    /// Those of drivers that were killed.
    private static func removeAbandoned(in parent: String) {
        // Nothing to be seen is nothing to remove.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names where name.hasPrefix("\(prefix)-") {
            guard let driver = name.split(separator: "-").dropFirst(2).first.flatMap({ Int32($0) }),
                kill(driver, 0) != 0, errno == ESRCH
            else { continue }
            rmdir("\(parent)/\(name)")
        }
    }
}
