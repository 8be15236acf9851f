import Foundation
import Glibc

/// Where a group of processes may be made whose memory is bounded.
struct MemoryHierarchy: Hashable, Sendable {
    /// Of cgroups.
    enum Version: Hashable, Sendable {
        case one
        case two
    }

    let version: Version
    /// The folder in which a group is made.
    let parent: String

    /// The file of a group that says how much memory it may use.
    var limit: String { version == .one ? "memory.limit_in_bytes" : "memory.max" }

    /// The file of a group that counts, among other things, whom the kernel has ended there.
    var events: String { version == .one ? "memory.oom_control" : "memory.events" }

    /// The first that can be had: that of version 1, then of version 2 the process's own group or the nearest above it.
    ///
    /// In version 2 a group bounds the memory of its children only when it hands the controller on, and one with
    /// processes of its own may not, unless it is the root of the machine.
    ///
    /// - Parameters:
    ///   - root: where the kernel's groups are mounted.
    ///   - membership: what `/proc/self/cgroup` says.
    /// - Returns: nil when there is none.
    static func find(in root: String, membership: String) -> MemoryHierarchy? {
        let first = "\(root)/memory"
        if access("\(first)/memory.limit_in_bytes", F_OK) == 0, access(first, W_OK) == 0 {
            return MemoryHierarchy(version: .one, parent: first)
        }
        // Beside version 1 it has a folder of its own, and the controller only when version 1 does not have it.
        for mount in [root, "\(root)/unified"] {
            for group in groups(membership) where handsOn("\(mount)\(group)") {
                return MemoryHierarchy(version: .two, parent: "\(mount)\(group)")
            }
        }
        return nil
    }

    /// The process's own group of version 2 and all above it, nearest first; the last is the root, an empty text.
    static func groups(_ membership: String) -> [String] {
        let own = membership.split(separator: "\n").first { $0.hasPrefix("0::/") }?.dropFirst(3) ?? "/"
        // What is outside of what is mounted here begins with "/..".
        let words: [String] = own.contains("..") ? [] : own.split(separator: "/").map(String.init)
        return (0...words.count).reversed().map { count in words.prefix(count).map { "/\($0)" }.joined() }
    }

    /// Whether a group bounds the memory of its children, also when it must be told to first.
    private static func handsOn(_ group: String) -> Bool {
        let control = "\(group)/cgroup.subtree_control"
        guard access(group, W_OK) == 0, words("\(group)/cgroup.controllers").contains("memory"),
            access(control, W_OK) == 0
        else { return false }
        if words(control).contains("memory") { return true }
        // Refused where it has processes of its own; what it says then decides.
        try? "+memory".write(toFile: control, atomically: false, encoding: .utf8)
        return words(control).contains("memory")
    }

    private static func words(_ path: String) -> [Substring] {
        // What cannot be read says nothing.
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(whereSeparator: \.isWhitespace)
    }

    /// How many processes the kernel has ended for want of memory, by what a group's `events` say.
    static func kills(in events: String) -> Int {
        for line in events.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == "oom_kill", let count = Int(words[1]) { return count }
        }
        return 0
    }
}
