import ArgumentParser
import Foundation
import Recording
import Runtime
import UnixSignals

/// `linesman demo`: a recorded game through the whole suite, on private servers, with nothing left behind.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Play a recorded game through real processes on private servers.")

    @Option(help: "Venue seconds in a second, 0.1 to 10000.")
    var speed: Double = 120

    @Option(help: "A recording's name or path.")
    var recording = "tor-at-cle-2026-04-20"

    @Option(help: "How many game-shards to run, 1 to 16.")
    var shards = 2

    @Option(help: "Deliberate damage on the way: \(DemoFault.allCases.map(\.rawValue).joined(separator: ", ")).")
    var faults: DemoFault?

    @Option(
        help: "Where paper orders are filled: by the venue over HTTP, or from its live book as without a simulator.")
    var fills: PaperFills = .venue

    @Option(help: "Write the report as JSON to this file.")
    var report: String?

    @Flag(help: "Keep the temporary directory with logs and databases.")
    var keep = false

    @Flag(help: "Plain lines instead of a live display.")
    var plain = false

    func validate() throws {
        guard speed >= 0.1, speed <= 10_000 else { throw ValidationError("--speed is 0.1 to 10000, not \(speed)") }
        guard (1...16).contains(shards) else { throw ValidationError("--shards is 1 to 16, not \(shards)") }
        guard try RecordingLibrary.load(RecordingLibrary.find(recording)).hasScores else {
            throw ValidationError("\(recording) holds prices only; a demo needs a game with scores")
        }
    }

    func run() async throws {
        // Written to after Ctrl-C by a pager or a closed terminal, the end of the process must stay an orderly one.
        signal(SIGPIPE, SIG_IGN)
        let path = URL(filePath: try RecordingLibrary.find(recording)).path
        let options = DemoOptions(
            recordingPath: path, recording: try RecordingLibrary.load(path), speed: speed, shards: shards,
            faults: faults, fills: fills, keep: keep, isLive: !plain && isatty(STDOUT_FILENO) == 1)
        let outcome = try await runUntilSignal(options)
        if let report { try outcome.report?.json().write(to: URL(filePath: report)) }
        if let code = outcome.exitCode { throw ArgumentParser.ExitCode(code) }
    }

    /// Runs the demo; SIGINT and SIGTERM cancel it, and it still takes everything down.
    private func runUntilSignal(_ options: DemoOptions) async throws -> DemoOutcome {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let demo = Task { await DemoRun(options).run() }
        // Ends with the process.
        let watch = Task {
            for await _ in signals { demo.cancel() }
        }
        let outcome = await demo.value
        watch.cancel()
        return outcome
    }
}

/// Damage that a demo can do to itself.
enum DemoFault: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// SIGKILL to the shard that watches the game, two fifths of the way.
    case shardKill = "shard-kill"
    /// Orders are matched, but every third answer is lost with its connection.
    case lostAcknowledgements = "lost-acks"
    /// Order-book frames are garbage, twice, in the wrong order or missing now and then.
    case badFrames = "bad-frames"
    /// The venue's WebSocket connections are cut four times.
    case resets = "venue-resets"

    /// What the simulator is asked for, as its control interface takes it.
    var venueFaults: [String] {
        switch self {
        case .shardKill, .resets: []
        case .lostAcknowledgements:
            [#"{"kind":"lostAcknowledgement","target":"POST","probability":0.34,"seed":1}"#]
        case .badFrames:
            ["garbageFrame", "duplicate", "reorder", "sequenceGap"].map { kind in
                #"{"kind":"\#(kind)","target":"orderbook_delta","probability":0.01,"seed":1}"#
            }
        }
    }
}

/// What fills the orders of a demo.
enum PaperFills: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// The simulator's matching, over HTTP.
    case venue
    /// The suite's own paper gateway, from the live order book: what a deployment without a simulator does.
    case book
}

struct DemoOptions: Sendable {
    let recordingPath: String
    let recording: Recording
    let speed: Double
    let shards: Int
    let faults: DemoFault?
    let fills: PaperFills
    let keep: Bool
    let isLive: Bool
}

/// How a demo ended: with a report, or with an exit code other than 0, or both.
struct DemoOutcome: Sendable {
    var report: DemoReport?
    var exitCode: Int32?
}
