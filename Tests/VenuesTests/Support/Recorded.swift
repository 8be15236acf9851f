import Foundation
import TestKit

/// The recordings that these tests read.
enum Recorded {
    static let webSocketFiles = [
        "kalshi/ws_session_demo_20260701_part1.jsonl", "kalshi/ws_frames_demo_20260827.jsonl",
        "kalshi/ws_kalshi_ticker_ssmd_202602.jsonl", "kalshi/ws_kalshi_trade_ssmd_202602.jsonl",
    ]

    static func lines(_ file: String) throws -> [[UInt8]] {
        try SharedData.read(file).split(separator: UInt8(ascii: "\n")).map(Array.init)
    }

    static func frames() throws -> [[UInt8]] { try webSocketFiles.flatMap(lines) }

    static func unzipped(_ file: String) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", SharedData.path(file)]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Array(data)
    }

    static func files(in folder: String, suffix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: SharedData.path(folder)).sorted()
            .filter { $0.hasSuffix(suffix) }.map { "\(folder)/\($0)" }
    }

    /// The `response` of a golden file as bytes.
    static func golden(_ name: String) throws -> [UInt8] {
        let file = try SharedData.read("kalshi/rest_golden/\(name)_response.json")
        let root = try JSONSerialization.jsonObject(with: Data(file)) as? [String: Any]
        return Array(try JSONSerialization.data(withJSONObject: root?["response"] ?? [:]))
    }

    /// The bodies of a VCR file, in their order.
    static func vcr(_ name: String) throws -> [(status: Int, body: [UInt8])] {
        let root = try JSONSerialization.jsonObject(with: Data(SharedData.read("kalshi/\(name).json")))
        return try (root as? [[String: Any]] ?? []).map { entry in
            let response = entry["response"] as? [String: Any] ?? [:]
            let status = (response["status"] as? [String: Any])?["code"] as? Int ?? 0
            return (status, Array(try JSONSerialization.data(withJSONObject: response["body"] ?? [:])))
        }
    }
}
