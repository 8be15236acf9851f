import Domain
import Foundation
import Postgres
import Resilience
import Runtime

/// The running suite as the demo sees it: waits for it, plays the game, watches, and counts at the end.
struct DemoStage: Sendable {
    let options: DemoOptions
    let ports: VenuePorts
    let statusURL: String
    let database: PostgresPool
    let suite: ProcessSuite
    let display: DemoDisplay
    let clock: MachineClock
    private let http = LocalHTTP()

    init(
        options: DemoOptions, ports: VenuePorts, statusURL: String, database: PostgresPool,
        suite: ProcessSuite, display: DemoDisplay, clock: MachineClock
    ) {
        self.options = options
        self.ports = ports
        self.statusURL = statusURL
        self.database = database
        self.suite = suite
        self.display = display
        self.clock = clock
    }

    /// From the first heartbeat to the last settlement.
    func play() async throws -> DemoReport {
        try await untilWatched()
        try await arm()
        try await http.post("\(ports.controlURL)/start")
        var lastVenueTime: Int64 = -1
        var lastProgress = clock.now
        var finishedAt: MachineInstant?
        var hasKilled = false
        var owner: String?
        var resets = 0
        while true {
            let venue: VenueStatistics = try await http.get("\(ports.controlURL)/stats")
            let figures = try await DemoFigures.read(database)
            let game = try await DemoGame.read(database)
            let quotes: VenueQuotes = try await http.get("\(ports.restURL)/markets?limit=10")
            await display.show(
                venue, quotes, figures, game, await suite.rows, isFinished: venue.finished,
                progress: progress(venue.venueTime))
            if let now = game?.owner {
                if let owner, owner != now { display.note("fleet:   watched by \(now)") }
                owner = now
            }
            if venue.venueTime != lastVenueTime {
                lastVenueTime = venue.venueTime
                lastProgress = clock.now
            }
            if options.faults == .shardKill, !hasKilled, progress(venue.venueTime) >= 0.4 {
                hasKilled = try await killOwner()
            }
            if options.faults == .resets, resets < 4, progress(venue.venueTime) >= 0.2 * Double(resets + 1) {
                try await http.post("\(ports.controlURL)/faults", json: #"{"kind":"reset"}"#)
                resets += 1
                display.note("fault:   the venue's connections are cut")
            }
            if venue.finished {
                let finished = finishedAt ?? clock.now
                finishedAt = finished
                if isOver(figures, game) { break }
                if finished.duration(to: clock.now) > .seconds(60) { break }
            } else if lastProgress.duration(to: clock.now) > .seconds(60) {
                throw DemoRun.Stopped(description: "the game has not moved for 60 s")
            }
            try await clock.sleep(for: .milliseconds(options.isLive ? 250 : 500))
        }
        display.finish()
        return try await report()
    }

    /// Whether nothing is on its way any more.
    private func isOver(_ figures: DemoFigures, _ game: DemoGame?) -> Bool {
        guard figures.positionsOpen == 0, figures.unresolved == 0, figures.unpublished == 0 else { return false }
        return !options.recording.hasScores || game?.status == "final"
    }

    private func progress(_ venueTime: Int64) -> Double {
        let start = options.recording.start.microseconds
        let end = options.recording.end.microseconds
        return min(max(Double(venueTime - start) / Double(max(1, end - start)), 0), 1)
    }

    /// Waits until a shard watches the game and the venue has its subscriptions.
    private func untilWatched() async throws {
        Console.say("waiting until a shard watches the game")
        let deadline = clock.now.advanced(by: .seconds(60))
        var last = "no answer yet"
        while clock.now < deadline {
            do {
                let status: SuiteStatus = try await http.get("\(statusURL)/status")
                let game = status.fleet.games.first
                last = game.map { "game \($0.game) is \($0.state)" } ?? "no game known"
                let venue: VenueStatistics = try await http.get("\(ports.controlURL)/stats")
                let snapshots = venue.framesSent["orderbook_snapshot"] ?? 0
                if game?.state == "watched", snapshots >= options.recording.header.markets.count,
                    !venue.readers.isEmpty
                {
                    Console.say("watched by \(game?.shard ?? "-") under epoch \(game?.epoch ?? 0)\n")
                    return
                }
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                last = "\(error)"
            }
            try await clock.sleep(for: .milliseconds(100))
        }
        throw DemoRun.Stopped(description: "no shard watches the game after 60 s: \(last)")
    }

    /// Asks the venue to misbehave, for the faults that are the venue's.
    private func arm() async throws {
        for order in options.faults?.venueFaults ?? [] {
            try await http.post("\(ports.controlURL)/faults", json: order)
        }
    }

    /// - Returns: whether there was a shard to kill.
    private func killOwner() async throws -> Bool {
        let status: SuiteStatus = try await http.get("\(statusURL)/status")
        guard let shard = status.fleet.games.first?.shard else { return false }
        display.note("fault:   SIGKILL to \(shard)")
        await suite.kill(shard)
        return true
    }

    private func report() async throws -> DemoReport {
        let venue: VenueStatistics = try await http.get("\(ports.controlURL)/stats")
        let figures = try await DemoFigures.readWhole(database)
        let brier = try await DemoFigures.brier(database)
        return DemoReport(
            recording: options.recording.header.name, speed: options.speed, profile: DemoProfile.name,
            faults: options.faults?.rawValue, faultsStruck: venue.faults, wallSeconds: 0, frames: venue.bookFrames,
            signals: figures.signals,
            intents: figures.intents, orders: figures.orders, fills: figures.fills,
            partialFills: figures.partialFills, rejected: figures.rejected,
            exposurePeak: figures.exposurePeak.approximateDollars, pnl: figures.pnl.approximateDollars,
            fees: figures.fees.approximateDollars, positionsOpen: figures.positionsOpen,
            messagesLost: figures.unpublished + (try await unheardSignals(figures)),
            duplicates: figures.surplusOrders + (venue.orders.rejectedByCode["order_already_exists"] ?? 0),
            refusals: figures.refusals, brierOurs: brier.ours, brierSource: brier.source, finalScore: brier.score,
            settled: figures.positionsOpen == 0 && figures.unresolved == 0,
            tradesDigest: try await DemoFigures.tradesDigest(database), processes: [])
    }

    /// Signals that living shards have sent and that the database does not know.
    private func unheardSignals(_ figures: DemoFigures) async throws -> Int {
        // A shard that crashed took its counter with it, so fewer may be counted than were received.
        let status: SuiteStatus = try await http.get("\(statusURL)/status")
        return max(0, (status.signalsSent ?? 0) - figures.signals)
    }
}
