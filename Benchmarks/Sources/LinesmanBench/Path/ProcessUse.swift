import Foundation

/// What a program and its children have used, as the kernel counts it.
struct ProcessUse: Sendable {
    /// CPU time of all threads, also of children that have ended, in seconds; the kernel counts in hundredths.
    var cpu = 0.0
    /// Memory of its own in RAM, in kilobytes: the pages of programs and libraries are shared, and come as code is run.
    var ownKilobytes = 0

    /// Of `process` and of the children that it has now.
    ///
    /// - Throws: `failure` when the process has ended, or where there is no `/proc`.
    init(of process: Int32) throws(BenchError) {
        try add(process)
        let path = "/proc/\(process)/task/\(process)/children"
        // A kernel without this list has processes without children here.
        let children = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        for child in children.split(separator: " ").compactMap({ Int32($0) }) {
            // One that has ended meanwhile is counted by its parent.
            try? add(child)
        }
    }

    private mutating func add(_ process: Int32) throws(BenchError) {
        guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let end = stat.lastIndex(of: ")")
        else { throw BenchError(.failure, "process \(process) has ended, or this machine has no /proc") }
        // After the name: state is field 3; utime, stime, cutime and cstime are 14 to 17.
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        cpu += fields[11...14].reduce(0) { $0 + (Double($1) ?? 0) } / Double(sysconf(Int32(_SC_CLK_TCK)))
        ownKilobytes += try Self.field("RssAnon:", of: process)
    }

    private static func field(_ name: String, of process: Int32) throws(BenchError) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
        let words = line?.dropFirst(name.count).split(whereSeparator: \.isWhitespace) ?? []
        guard let value = words.first.flatMap({ Int($0) }) else {
            throw BenchError(.failure, "this kernel does not say \(name) of process \(process)")
        }
        return value
    }
}
