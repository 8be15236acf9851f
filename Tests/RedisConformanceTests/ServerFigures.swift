import Foundation
import Redis
import RedisTestKit

extension RedisClient {
    /// One figure of INFO, for example `used_memory` of `memory`.
    func figure(_ name: String, of section: String) async throws -> Int? {
        let text = try await command("INFO", section).text ?? ""
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(name):") }
        return line.flatMap { Int($0.dropFirst(name.count + 1)) }
    }

    /// How often the server has carried out a command.
    func calls(of name: String) async throws -> Int {
        let text = try await command("INFO", "commandstats").text ?? ""
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_\(name):calls=") }
        return line.flatMap { Int($0.split(separator: "=")[1].prefix { $0.isNumber }) } ?? 0
    }

    /// Every connection the server has, one line of fields each.
    func clientList() async throws -> [[String: String]] {
        let text = try await command("CLIENT", "LIST").text ?? ""
        return text.split(separator: "\n").map { line in
            let fields = line.split(separator: " ").map { $0.split(separator: "=", omittingEmptySubsequences: false) }
            return Dictionary(
                fields.filter { $0.count > 1 }.map { (String($0[0]), String($0[1])) }, uniquingKeysWith: { $1 })
        }
    }

    func subscribers(of channel: String) async throws -> Int {
        Int(try await command("PUBSUB", "NUMSUB", channel).array?.last?.integer ?? -1)
    }
}

/// Sockets of this process to a port of this machine that are open or being opened.
func openSockets(to port: Int) throws -> Int {
    let folder = "/proc/self/fd"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    // A descriptor may be closed between listing and reading it.
    let links = names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)") }
    let own = Set(links.filter { $0.hasPrefix("socket:[") }.map { String($0.dropFirst(8).dropLast()) })
    let hexadecimal = String(port, radix: 16, uppercase: true)
    let suffix = ":" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal
    // Read to its end in pieces: the kernel says that it is empty.
    let table = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/net/tcp")).readToEnd() ?? Data()
    return String(decoding: table, as: UTF8.self).split(separator: "\n").dropFirst().count { line in
        let fields = line.split(separator: " ")
        return fields.count > 9 && fields[2].hasSuffix(suffix) && own.contains(String(fields[9]))
    }
}
