import Bus
import Domain
import Foundation
import Hosting
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime
import Servers
import TestKit

/// Feeds a world, kills its service at the points of its plan, and holds what came of it against the venue.
struct OrderDrive: Sendable {
    /// How long orders may stay open after the venue's last fault; the bar is 30 s of a venue that can be reached.
    static let patience = Duration.seconds(30)

    let world: OrderWorld
    let target: Int
    let kills: Int
    let seed: UInt64
    private let intents: IntentFeeder
    private let feeder: SignalFeeder
    private let clock = MachineClock.real

    init(world: OrderWorld, target: Int, kills: Int, seed: UInt64, bus: Bus) {
        self.world = world
        intents = IntentFeeder(pool: world.pool, account: TradingAccount(.paper), bus: bus)
        feeder = SignalFeeder(intents, bus: bus)
        self.target = target
        self.kills = kills
        self.seed = seed
    }

    private var submitted: Int { world.venueTap.count(.submit) }

    func run() async throws -> OrderResult {
        try await intents.prepare()
        let processor = try world.startSignalProcessor(SignalFeeder.settings)
        do { return try await run(beside: processor) } catch {
            await processor.kill9()
            throw error
        }
    }

    private func run(beside processor: ChildProcess) async throws -> OrderResult {
        let sampler = LimitSampler(pool: world.pool)
        // All three end before this function does.
        let supervision = Task { try await world.supervise() }
        let sampling = Task { try await sampler.run() }
        let telling = Task { [intents] in await intents.tellPrices() }
        defer {
            telling.cancel()
            supervision.cancel()
            sampling.cancel()
        }
        try await world.venue.arm(OrderFault.usual, seed: seed)
        let stall = try await drive()
        let early = processor.exitStatus
        // What was said and not decided yet is approved no more.
        await processor.terminate()
        let settledWithin = try await settle()
        await world.stop()
        try await supervision.value
        sampling.cancel()
        var result = try await result(sampler.result, settledWithin: settledWithin)
        if let stall { result.violations.insert("\(world.name): \(stall)", at: 0) }
        if let early { result.violations.append("\(world.name): signal-processor: \(early)") }
        return result
    }

    /// Until enough was sent and every point was hit; a point that does not come by in three times the work never will.
    ///
    /// - Returns: why it went no further, when nothing moved.
    private func drive() async throws -> String? {
        var generator = SeededGenerator(seed: seed)
        let pace = max(1, target / (kills + 1))
        var next = pace / 2
        var progress = (count: 0, at: clock.now)
        while submitted < target || !world.plan.isDone, submitted < target * 3 + 2_000 {
            if world.plan.isWaiting, submitted >= next {
                world.plan.arm()
                next = submitted + pace
            }
            if world.plan.wantsCancel { try await cancel(&generator) }
            try await feeder.feed(&generator)
            if submitted > progress.count { progress = (submitted, clock.now) }
            guard progress.at.duration(to: clock.now) < .seconds(180) else {
                return "nothing was sent for three minutes, after \(submitted)"
            }
            try await clock.sleep(for: .milliseconds(100))
        }
        return nil
    }

    /// Lets an order stay open at the venue, and engages the kill switch: its cancel goes out.
    private func cancel(_ generator: inout SeededGenerator) async throws {
        try await world.venue.disarm()
        try await world.venue.arm([OrderFault.unreadableFills], seed: seed)
        try await eventually(within: .seconds(60), "an order whose fills cannot be read") {
            try await feeder.feed(&generator)
            return try await world.count(
                """
                SELECT count(*) AS n FROM orders
                WHERE state IN ('unknown', 'resting') AND venue_order_id IS NOT NULL
                """) > 0
        }
        try await world.setKillSwitch(engaged: true)
        try await eventually(within: .seconds(60), "a cancel") { !world.plan.wantsCancel }
        try await world.setKillSwitch(engaged: false)
        try await world.venue.disarm()
        try await world.venue.arm(OrderFault.usual, seed: seed &+ 1)
    }

    /// Waits until nothing is open.
    ///
    /// - Returns: how long that took, in seconds.
    private func settle() async throws -> Double {
        try await world.venue.disarm()
        let began = clock.now
        // What is still open then is found by the audit.
        try? await eventually(within: Self.patience + .seconds(60), "everything has its end") {
            try await world.count(
                """
                SELECT (SELECT count(*) FROM intents WHERE state IN ('approved', 'sending'))
                    + (SELECT count(*) FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting'))
                    + (SELECT count(*) FROM reservations WHERE state = 'held') AS n
                """) == 0
        }
        return began.duration(to: clock.now).inSeconds
    }

    private func result(_ seen: LimitSampler.Seen, settledWithin: Double) async throws -> OrderResult {
        var result = OrderResult()
        result.submits = submitted
        result.intents = try await world.count("SELECT count(*) AS n FROM intents")
        result.hits = world.plan.hits
        result.faults = try await world.venue.struck()
        result.samples = seen.samples
        result.largestExposure = seen.largest
        result.largestOfMarket = seen.largestOfMarket
        result.settledWithin = settledWithin
        for row in try await world.pool.query("SELECT state, count(*) AS n FROM orders GROUP BY state") {
            result.states[try row.text("state")] = try row.int("n")
        }
        for row in try await world.pool.query("SELECT verdict, count(*) AS n FROM signals GROUP BY verdict") {
            result.verdicts[try row.text("verdict")] = try row.int("n")
        }
        let longest = try await world.pool.first(
            "SELECT coalesce(max(extract(epoch FROM closed_at - stored_at)), 0)::float8 AS seconds FROM orders")
        result.longestOpen = try longest?.double("seconds") ?? 0
        var violations = seen.violations + world.strangeEnds.map { "the service ended by itself: \($0)" }
        violations += try await OrderAudit(world: world).violations()
        violations += world.plan.missing.map { "no kill at \($0)" }
        result.violations = violations.map { "\(world.name): \($0)" }
        return result
    }
}
