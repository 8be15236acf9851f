import Foundation
import Servers
import Testing

@testable import Linesman

/// Where memory can be bounded, from folders that look like the kernel's.
@Suite struct MemoryHierarchyTests {
    private static func find(_ files: [String: String], membership: String) throws -> (String, MemoryHierarchy?) {
        let folder = try TemporaryDirectory("cgroup")
        defer { folder.remove() }
        for (name, text) in files {
            let file = URL(filePath: "\(folder.path)/\(name)")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        return (folder.path, MemoryHierarchy.find(in: folder.path, membership: membership))
    }

    /// A group of version 2: what it has, and what it hands on.
    private static func group(_ name: String, _ has: String, _ handsOn: String) -> [String: String] {
        ["\(name)cgroup.controllers": "\(has)\n", "\(name)cgroup.subtree_control": "\(handsOn)\n"]
    }

    @Test func `without a hierarchy there is none`() throws {
        #expect(try Self.find([:], membership: "0::/\n").1 == nil)
        let without = Self.group("unified/", "hugetlb", "").merging(Self.group("", "cpu", "cpu")) { $1 }
        #expect(try Self.find(without, membership: "0::/\n").1 == nil, "none of them has memory")
    }

    @Test func `version 1 is taken where it is`() throws {
        let files = ["memory/memory.limit_in_bytes": "9223372036854771712\n"]
            .merging(Self.group("unified/", "", "")) { $1 }
        let (root, found) = try Self.find(files, membership: "4:memory:/x\n0::/y\n")
        #expect(found == MemoryHierarchy(version: .one, parent: "\(root)/memory"))
        #expect(found?.limit == "memory.limit_in_bytes" && found?.events == "memory.oom_control")
    }

    @Test func `of version 2 it is the nearest group that hands memory on to its children`() throws {
        var files = Self.group("", "cpu memory pids", "cpu memory pids")
        files.merge(Self.group("a/", "memory pids", "memory")) { $1 }
        // It is asked to, and does not: as one that has processes of its own.
        files.merge(Self.group("a/b/", "memory", "pids")) { $1 }
        let (root, nearest) = try Self.find(files, membership: "0::/a/b\n")
        #expect(nearest == MemoryHierarchy(version: .two, parent: "\(root)/a"))
        #expect(nearest?.limit == "memory.max" && nearest?.events == "memory.events")
        for membership in ["0::/\n", "0::/elsewhere/c\n", "0::/../d\n", ""] {
            let (top, found) = try Self.find(files, membership: membership)
            #expect(found == MemoryHierarchy(version: .two, parent: top), "\(membership)")
        }
    }

    @Test func `beside version 1 without memory it may be mounted apart`() throws {
        let (root, found) = try Self.find(Self.group("unified/", "memory", "memory"), membership: "0::/\n")
        #expect(found == MemoryHierarchy(version: .two, parent: "\(root)/unified"))
    }

    @Test func `a process's groups are its own and all above it`() {
        #expect(MemoryHierarchy.groups("9:memory:/m\n0::/a/b\n") == ["/a/b", "/a", ""])
        #expect(MemoryHierarchy.groups("0::/\n") == [""])
        #expect(MemoryHierarchy.groups("0::/../x\n") == [""])
        #expect(MemoryHierarchy.groups("") == [""])
    }

    @Test func `whom the kernel has ended is counted in both versions' words`() {
        let two = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 7\n"
        #expect(MemoryHierarchy.kills(in: two) == 1)
        #expect(MemoryHierarchy.kills(in: "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3)
        #expect(MemoryHierarchy.kills(in: "oom_group_kill 4\n") == 0)
        #expect(MemoryHierarchy.kills(in: "") == 0)
    }
}
