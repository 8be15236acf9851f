import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// The real executables, from the venue's WebSocket to the last settlement.
///
/// One after the other: each runs eight processes and two servers.
@Suite(.serialized, .processes) struct DemoTests {
    struct Report: Decodable {
        struct Process: Decodable {
            let name: String
            let pid: Int32
            let restarts: Int
            let exitCode: Int32?
            let rssMB: Double

            enum CodingKeys: String, CodingKey {
                case name
                case pid
                case restarts
                case exitCode = "exit_code"
                case rssMB = "rss_mb"
            }
        }

        let frames: Int
        let signals: Int
        let intents: Int
        let orders: Int
        let fills: Int
        let rejected: Int
        let exposurePeak: Double
        let positionsOpen: Int
        let messagesLost: Int
        let duplicates: Int
        let settled: Bool
        let faultsStruck: [String: Int]
        let finalScore: String
        let brierOurs: Double?
        let brierSource: Double?
        let tradesDigest: String
        let processes: [Process]

        enum CodingKeys: String, CodingKey {
            case frames
            case signals
            case intents
            case orders
            case fills
            case rejected
            case exposurePeak = "exposure_peak"
            case positionsOpen = "positions_open"
            case messagesLost = "messages_lost"
            case duplicates
            case settled
            case faultsStruck = "faults_struck"
            case finalScore = "final_score"
            case brierOurs = "brier_ours"
            case brierSource = "brier_source"
            case tradesDigest = "trades_digest"
            case processes
        }
    }

    private func demo(_ arguments: [String]) async throws -> (report: Report, output: String) {
        let folder = try TemporaryDirectory("demo-test")
        defer { folder.remove() }
        let file = "\(folder.path)/report.json"
        let (status, output) = try await ChildProcess.run(
            Executable.path("linesman"), ["demo", "--plain", "--report", file] + arguments,
            environment: Executable.environment(temporary: folder.path), timeout: .seconds(420))
        #expect(status.isSuccess, "\(status)\n\(output.suffix(4_000))")
        let data = try #require(FileManager.default.contents(atPath: file), "\(output.suffix(4_000))")
        let report = try JSONDecoder().decode(Report.self, from: data)
        try expectNothingLeft(in: folder.path, processes: report.processes.map(\.pid))
        return (report, output)
    }

    /// No process of the demo runs, and its directory holds the report alone.
    private func expectNothingLeft(in folder: String, processes: [Int32]) throws {
        for pid in processes { #expect(kill(pid, 0) != 0, "process \(pid) still runs") }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0 != "report.json" }
        #expect(left.isEmpty, "\(left)")
    }

    @Test(.timeLimit(.minutes(15)))
    func `a recorded game is traded and settled, and trades alike at another speed`() async throws {
        let (fast, _) = try await demo(["--speed", "240"])
        #expect(fast.settled && fast.positionsOpen == 0 && fast.messagesLost == 0 && fast.duplicates == 0)
        #expect(fast.frames > 300 && fast.signals > 0 && fast.intents > 0 && fast.fills > 0)
        #expect(fast.orders == fast.intents, "one order per intent")
        #expect(fast.exposurePeak > 0 && fast.exposurePeak <= 50.000001, "the game's limit is 50 dollars")
        #expect(fast.finalScore == "CLE 115, TOR 105")
        #expect(try #require(fast.brierOurs) < 0.25 && #require(fast.brierSource) < 0.25)
        #expect(fast.processes.count == 7)
        for process in fast.processes {
            #expect(process.exitCode == 0 && process.restarts == 0 && process.rssMB > 1, "\(process.name)")
        }
        let (slow, _) = try await demo(["--speed", "120"])
        #expect(slow.frames == fast.frames)
        #expect(slow.signals == fast.signals)
        #expect(slow.tradesDigest == fast.tradesDigest)
    }

    @Test(.timeLimit(.minutes(10)))
    func `a shard is killed in the middle, the other takes over, and the game ends settled`() async throws {
        let (report, output) = try await demo(["--speed", "240", "--faults", "shard-kill"])
        #expect(output.contains("SIGKILL to shard-0") && output.contains("under epoch 2"))
        #expect(report.settled && report.positionsOpen == 0 && report.duplicates == 0)
        #expect(report.orders == report.intents && report.exposurePeak <= 50.000001)
        #expect(report.finalScore == "CLE 115, TOR 105")
        #expect(report.processes.filter { $0.name.hasPrefix("shard") }.map(\.restarts).reduce(0, +) == 1)
    }

    @Test(.timeLimit(.minutes(10)), arguments: ["lost-acks", "bad-frames"])
    func `a venue that misbehaves costs no order its fate`(fault: String) async throws {
        let (report, _) = try await demo(["--speed", "240", "--faults", fault])
        #expect(report.settled && report.positionsOpen == 0 && report.messagesLost == 0 && report.duplicates == 0)
        #expect(report.orders == report.intents && report.fills > 0 && report.exposurePeak <= 50.000001)
        #expect(report.finalScore == "CLE 115, TOR 105")
        #expect(report.faultsStruck.values.reduce(0, +) > 0, "the fault really struck")
    }

    @Test(.timeLimit(.minutes(10)))
    func `without a simulated venue paper orders are filled from the live book`() async throws {
        let (report, _) = try await demo(["--speed", "240", "--fills", "book"])
        #expect(report.settled && report.positionsOpen == 0 && report.messagesLost == 0 && report.duplicates == 0)
        #expect(report.orders == report.intents && report.fills > 0 && report.exposurePeak <= 50.000001)
    }

    @Test(.timeLimit(.minutes(5)))
    func `status and why answer while a game runs, and Ctrl-C ends everything and leaves nothing`() async throws {
        let folder = try TemporaryDirectory("demo-test")
        defer { folder.remove() }
        let environment = Executable.environment(temporary: folder.path)
        let child = try ChildProcess.spawn(
            Executable.path("linesman"), ["demo", "--plain", "--speed", "60"], environment: environment,
            output: .captured)
        try await eventually(within: .seconds(90), "the game is running") {
            child.captured.contains("watched by shard-0")
        }
        let pids = try processes(in: folder.path)
        #expect(pids.count >= 8, "\(pids)")
        let words = child.captured.split(whereSeparator: \.isWhitespace).map(String.init)
        try await expectStatus(url: word(after: "--url", in: words), environment)
        let config = try word(after: "--config", in: words)
        let settings = try String(contentsOfFile: config, encoding: .utf8)
        let secret = try #require(settings.firstMatch(of: /DATABASE_URL = "[a-z]+:\/\/[^:]+:([^@]+)@/)?.output.1)
        #expect(!child.captured.contains(secret))
        let mode = try FileManager.default.attributesOfItem(atPath: config)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try await expectChain(config: config, environment)
        child.signal(SIGINT)
        let status = await child.wait()
        #expect(status == .exited(130), "\(child.captured.suffix(2_000))")
        try await eventually("no process is left") { pids.allSatisfy { kill($0, 0) != 0 } }
        try expectNothingLeft(in: folder.path, processes: [])
    }

    private func word(after flag: String, in words: [String]) throws -> String {
        let index = try #require(words.firstIndex(of: flag))
        return words[index + 1]
    }

    /// The processes that were given this temporary folder.
    private func processes(in folder: String) throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int32($0) }.filter { pid in
            let environment = FileManager.default.contents(atPath: "/proc/\(pid)/environ") ?? Data()
            return String(decoding: environment, as: UTF8.self).contains(folder)
        }
    }

    // CHECKLIST R36: every executable has been heard, healthy by its own probes.
    private func expectStatus(url: String, _ environment: [String: String]) async throws {
        let linesman = Executable.path("linesman")
        let names = ["shard-01", "shard-02", "market-discovery/1", "signal-processor/1", "execution-service/1"]
        try await eventually(within: .seconds(30), "all processes are healthy") {
            let (status, output) = try await ChildProcess.run(
                linesman, ["status", "--url", url], environment: environment)
            let lines = output.split(separator: "\n")
            return status.isSuccess && output.contains("epoch 1") && output.contains("watched")
                && names.allSatisfy { name in lines.contains { $0.contains(name) && $0.contains("healthy") } }
        }
        let (_, json) = try await ChildProcess.run(
            linesman, ["status", "--url", url, "--json"], environment: environment)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        #expect(object["tradingMode"] as? String == "paper")
    }

    private func expectChain(config: String, _ environment: [String: String]) async throws {
        try await eventually(within: .seconds(90), "an order explains itself") {
            for digit in "0123456789abcdef" {
                let (status, output) = try await ChildProcess.run(
                    Executable.path("linesman"), ["why", "\(digit)", "--config", config], environment: environment)
                guard status.isSuccess else { continue }
                return ["play", "signal", "intent", "order", "fill"].allSatisfy { output.contains("  \($0) ") }
            }
            return false
        }
    }
}
