import Bus
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit

/// Numbered messages and hints of two publishers to two subscribers, while the server and the links are cut.
///
/// Every party reaches the server through a proxy of its own. `run` gives the record; `CutVerdict` judges it.
public struct CutRun: Sendable {
    public static let publishers = ["publisher/1", "publisher/2"]
    public static let subscribers = ["subscriber/1", "subscriber/2"]
    static let parties = publishers + subscribers

    /// How far a run has come.
    private struct Stage {
        var subscribed = 0
        var cutsBegun = 0
        var isOver = false
    }

    private typealias SharedStage = NIOLockedValueBox<Stage>

    /// Journaled messages of all publishers together.
    public let messages: Int
    public let schedule: CutSchedule
    /// Between two messages of one publisher.
    public let pace: Duration
    /// How long everything may take to arrive after the last cut.
    public let patience: Duration
    private let settings: @Sendable (String) -> RedisSettings
    private let report: @Sendable (String) -> Void
    private let clock = MachineClock.real

    /// - Parameters:
    ///   - seed: of the faults.
    ///   - messages: journaled ones, of all publishers together.
    ///   - cuts: how many faults.
    ///   - longest: the longest outage or stall.
    ///   - pace: between two messages of one publisher.
    ///   - patience: how long everything may take to arrive after the last cut.
    ///   - settings: of a client of that URL.
    ///   - report: told of each cut as it begins.
    public init(
        seed: UInt64, messages: Int, cuts: Int, longest: Duration, pace: Duration = .milliseconds(5),
        patience: Duration = .seconds(60), settings: @escaping @Sendable (String) -> RedisSettings,
        report: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.messages = messages
        self.pace = pace
        self.patience = patience
        self.settings = settings
        self.report = report
        schedule = CutSchedule(
            seed: seed, count: cuts, messages: messages, longest: longest, parties: Self.parties.count)
    }

    public func run() async throws -> CutRecord {
        try await FaultyRedis.run { redis in
            var proxies: [String: FaultProxy] = [:]
            for party in Self.parties { proxies[party] = try await FaultProxy.start(to: redis.server.port) }
            let links = proxies
            let ledger = CutLedger(publishers: Self.publishers, subscribers: Self.subscribers, clock: clock)
            let stage = SharedStage(Stage())
            try await withThrowingTaskGroup(of: Bool.self) { tasks in
                for name in Self.subscribers {
                    tasks.addTask {
                        try await subscribe(name, links[name]?.url ?? "", ledger, stage)
                        return false
                    }
                }
                for name in Self.publishers {
                    tasks.addTask {
                        try await publish(name, links[name]?.url ?? "", ledger, stage)
                        return false
                    }
                }
                tasks.addTask {
                    try await cut(redis, links, ledger, stage)
                    try await complete(ledger, stage)
                    return true
                }
                defer { tasks.cancelAll() }
                while try await tasks.next() == false {}
            }
            return ledger.record
        }
    }

    // MARK: The parties

    private func subscribe(
        _ name: String, _ url: String, _ ledger: CutLedger, _ stage: SharedStage
    ) async throws {
        try await BusStation.run(settings(url), source: name) { station in
            let journal = try await station.bus.subscribe(to: Numbered.journal, from: .beginning)
            let hints = try await station.bus.subscribe(to: Numbered.hint)
            stage.withLockedValue { $0.subscribed += 1 }
            await withDiscardingTaskGroup { tasks in
                tasks.addTask { await ledger.collectJournal(journal, as: name) }
                tasks.addTask { await ledger.collectHints(hints, as: name) }
            }
        }
    }

    private func publish(
        _ name: String, _ url: String, _ ledger: CutLedger, _ stage: SharedStage
    ) async throws {
        try await eventually(within: patience, "every subscriber listens") {
            stage.withLockedValue { $0.subscribed == Self.subscribers.count }
        }
        try await BusStation.run(settings(url), source: name) { station in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for number in 1...(messages / Self.publishers.count) {
                        try await untilAllowed(number, stage)
                        try await publishOne(Numbered(number), by: name, station.bus, ledger)
                        try await clock.sleep(for: pace)
                    }
                }
                tasks.addTask {
                    while true {
                        if stage.withLockedValue({ $0.isOver }) {
                            // The last one may be on its way still; if it was lost, the next one replaces it.
                            try await clock.sleep(for: .milliseconds(500))
                            if ledger.isHintComplete { return }
                        }
                        try await station.bus.publish(ledger.nextHint(of: name), on: Numbered.hint)
                        try await clock.sleep(for: pace)
                    }
                }
                try await tasks.waitForAll()
            }
            // A publisher that is done stays: what it sent last may have to be sent again.
            try await clock.sleep(for: .seconds(3600))
        }
    }

    /// A publisher does not run ahead of the cuts: each falls into traffic.
    private func untilAllowed(_ number: Int, _ stage: SharedStage) async throws {
        let part = messages / max(1, schedule.cuts.count) / Self.publishers.count
        while true {
            let begun = stage.withLockedValue { $0.cutsBegun }
            if begun == schedule.cuts.count || number <= part * (begun + 1) { return }
            try await clock.sleep(for: .milliseconds(5))
        }
    }

    private func publishOne(_ message: Numbered, by name: String, _ bus: Bus, _ ledger: CutLedger) async throws {
        ledger.attempt(message, by: name)
        while true {
            do {
                if case .stored = try await bus.publish(message, on: Numbered.journal) {
                    ledger.acknowledge(message.number, of: name)
                }
                return
            } catch let error as BusError where error.code == .outboxFull {
                try await clock.sleep(for: .milliseconds(100))
            }
        }
    }

    // MARK: The faults

    private func cut(
        _ redis: FaultyRedis, _ links: [String: FaultProxy], _ ledger: CutLedger, _ stage: SharedStage
    ) async throws {
        try await eventually(within: patience, "traffic before the first cut") {
            ledger.record.hints.values.allSatisfy { subscriber in
                Self.publishers.allSatisfy { subscriber.last(from: $0) != nil }
            }
        }
        for (index, cut) in schedule.cuts.enumerated() {
            try await eventually(within: patience, "traffic before cut \(index + 1): \(ledger.progress)") {
                ledger.attempted >= cut.at
            }
            report("cut \(index + 1) of \(schedule.cuts.count): \(cut)")
            stage.withLockedValue { $0.cutsBegun += 1 }
            ledger.restarted(cut.kind.restarts)
            try await carryOut(cut, redis, links)
        }
    }

    private func carryOut(_ cut: Cut, _ redis: FaultyRedis, _ links: [String: FaultProxy]) async throws {
        let link = links[Self.parties[cut.party]]
        switch cut.kind {
        case .killed: try await redis.kill(downFor: cut.length)
        case .powerLost:
            // What is lost must not have been received by everybody before, or nothing would be missing.
            try await links[Self.subscribers[cut.party % Self.subscribers.count]]?.forget()
            try await clock.sleep(for: FaultyRedis.unsynced / 2)
            try await redis.losePower(downFor: cut.length)
        case .restarted: try await redis.restart(downFor: cut.length)
        case .restartedTwice:
            try await redis.kill(downFor: cut.length)
            try await redis.losePower(downFor: .milliseconds(50))
        case .subscribersKicked: _ = try await ask(redis, "CLIENT", "KILL", "TYPE", "pubsub")
        case .publishersKicked: _ = try await ask(redis, "CLIENT", "KILL", "TYPE", "normal")
        case .frozen: try await redis.freeze(for: cut.length)
        case .linkStalled:
            try await link?.stall()
            try await clock.sleep(for: cut.length)
            try await link?.pass()
        case .linkForgotten: try await link?.forget()
        }
    }

    private func ask(_ redis: FaultyRedis, _ words: String...) async throws -> [String] {
        try await OwnRedis.ask(port: redis.server.port, words)
    }

    // MARK: The end

    private func complete(_ ledger: CutLedger, _ stage: SharedStage) async throws {
        report("no more cuts; waiting until all has arrived")
        let end = clock.now.advanced(by: patience)
        while ledger.attempted < messages || !ledger.isJournalComplete, clock.now < end {
            try await clock.sleep(for: .milliseconds(20))
        }
        stage.withLockedValue { $0.isOver = true }
        while !ledger.isHintComplete, clock.now < end { try await clock.sleep(for: .milliseconds(20)) }
        // What is published again after a loss arrives late; whoever counts repetitions must wait for it.
        try await clock.sleep(for: .seconds(1))
    }
}
