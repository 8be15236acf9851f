import Domain
import Foundation

/// What a demo did, in figures: printed as a table at its end and written as JSON with `--report`.
struct DemoReport: Codable, Equatable {
    struct ProcessRow: Codable, Equatable {
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

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(pid, forKey: .pid)
            try container.encode(restarts, forKey: .restarts)
            // Written even when it is null: the key is part of the report's promise.
            try container.encode(exitCode, forKey: .exitCode)
            try container.encode(rssMB, forKey: .rssMB)
        }
    }

    var recording: String
    var speed: Double
    var profile: String
    var faults: String?
    /// How often the venue's deliberate faults struck, by kind.
    var faultsStruck: [String: Int]
    var wallSeconds: Double
    /// Order-book frames that the venue published for the recording.
    var frames: Int
    var signals: Int
    var intents: Int
    var orders: Int
    var fills: Int
    var partialFills: Int
    var rejected: Int
    /// The most money at risk at one instant, in dollars: reservations held and the cost of what was open.
    var exposurePeak: Double
    var pnl: Double
    var fees: Double
    var positionsOpen: Int
    /// Journaled messages sent and not received, and outbox rows that were never published.
    var messagesLost: Int
    /// Orders beyond one per intent, and client order ids that the venue saw twice.
    var duplicates: Int
    /// Signals that were refused, by reason.
    var refusals: [String: Int]
    /// The mean squared error of the home win probability over the game, ours and the score feed's; smaller is better.
    var brierOurs: Double?
    var brierSource: Double?
    var finalScore: String
    var settled: Bool
    /// SHA-256 over the fills, equal when runs traded alike.
    ///
    /// It covers market, outcome, price, quantity, fee and the time of the signal.
    var tradesDigest: String
    var processes: [ProcessRow]

    enum CodingKeys: String, CodingKey {
        case recording
        case speed
        case profile
        case faults
        case faultsStruck = "faults_struck"
        case wallSeconds = "wall_seconds"
        case frames
        case signals
        case intents
        case orders
        case fills
        case partialFills = "partial_fills"
        case rejected
        case exposurePeak = "exposure_peak"
        case pnl
        case fees
        case positionsOpen = "positions_open"
        case messagesLost = "messages_lost"
        case duplicates
        case refusals
        case brierOurs = "brier_ours"
        case brierSource = "brier_source"
        case finalScore = "final_score"
        case settled
        case tradesDigest = "trades_digest"
        case processes
    }

    /// What is wrong with the run; nil when every promise held.
    var problem: String? {
        if !settled { return "the game ended with positions or orders that are not settled" }
        if messagesLost > 0 { return "\(messagesLost) messages were lost" }
        if duplicates > 0 { return "\(duplicates) orders were sent twice" }
        return nil
    }

    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    /// The table at the end of a demo.
    func table() -> String {
        var rows: [(String, String)] = [
            ("recording", recording), ("final score", finalScore), ("rules profile", profile),
            ("speed", speed.formatted(decimals: 0)), ("wall time", "\(wallSeconds.formatted(decimals: 1)) s"),
            ("order-book frames", "\(frames)"), ("signals", "\(signals)"), ("intents approved", "\(intents)"),
            ("orders", "\(orders)"), ("fills", "\(fills) (\(partialFills) orders filled in part)"),
            ("orders refused by the venue", "\(rejected)"),
            ("exposure at its peak", "$\(exposurePeak.formatted(decimals: 2))"),
            ("profit and loss", "$\(pnl.formatted(decimals: 2)) after $\(fees.formatted(decimals: 2)) of fees"),
            ("positions still open", "\(positionsOpen)"), ("messages lost", "\(messagesLost)"),
            ("duplicates", "\(duplicates)"),
        ]
        if let faults {
            let struck = faultsStruck.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            rows.insert(("faults", ([faults] + struck).joined(separator: ", ")), at: 3)
        }
        if let brierOurs {
            let source = brierSource.map { $0.formatted(decimals: 4) } ?? "-"
            rows.append(("Brier score", "\(brierOurs.formatted(decimals: 4)) ours, \(source) the score feed's"))
        }
        if !refusals.isEmpty {
            let reasons = refusals.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
            rows.append(("signals refused", reasons.joined(separator: ", ")))
        }
        var lines = rows.map { "  \($0.0.padded(28)) \($0.1)" }
        lines.append("")
        lines.append("  \("process".padded(28)) \("pid".padded(8)) \("restarts".padded(9)) \("exit".padded(6)) memory")
        for process in processes {
            let exit = process.exitCode.map { "\($0)" } ?? "-"
            lines.append(
                "  \(process.name.padded(28)) \("\(process.pid)".padded(8)) \("\(process.restarts)".padded(9)) "
                    + "\(exit.padded(6)) \(process.rssMB.formatted(decimals: 0)) MB")
        }
        return lines.joined(separator: "\n")
    }
}

extension String {
    func padded(_ width: Int) -> String {
        count >= width ? self : self + String(repeating: " ", count: width - count)
    }
}

extension Double {
    func formatted(decimals: Int) -> String { String(format: "%.\(decimals)f", self) }
}
