import Foundation

/// What the figures were measured on.
enum Machine {
    static func describe(_ report: inout Report, server: String = "redis", version: String? = redisVersion) {
        let cores = ProcessInfo.processInfo.activeProcessorCount
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let processor = processor ?? "unknown processor"
        let version = version ?? "unknown"
        report.set("machine_cores", to: .number(Double(cores)))
        report.set("machine_kernel", to: .text(kernel))
        report.set("machine_processor", to: .text(processor))
        report.set("\(server)_version", to: .text(version))
        let load = load.map { String(format: ", load %.1f", $0) } ?? ""
        report.note("\(cores) cores of \(processor), kernel \(kernel), \(server) \(version)\(load)")
    }

    private static var processor: String? {
        // Absent where there is no /proc.
        let facts = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
        let line = facts?.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
    }

    /// Processes that ran or wanted to in the last minute, these included.
    private static var load: Double? {
        var averages = [0.0]
        return getloadavg(&averages, 1) == 1 ? averages[0] : nil
    }

    static var redisVersion: String? {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["redis-server", "--version"]
        process.standardOutput = output
        guard (try? process.run()) != nil else { return nil }  // thrown: no such program
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return text.split(separator: " ").first { $0.hasPrefix("v=") }.map { String($0.dropFirst(2)) }
    }
}
