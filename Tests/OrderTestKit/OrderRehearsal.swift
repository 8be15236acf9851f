import BusTestKit
import Domain
import Foundation
import Postgres
import Redis
import Resilience
import Runtime
import Servers
import TestKit

/// Orders by the thousand through a real execution-service that is killed again and again, to a venue that misbehaves.
///
/// Several worlds at once, each with its account, so that the waits of one are the work of another. Half of the venues
/// refuse a client order id that was used before, half accept it.
public struct OrderRehearsal: Sendable {
    /// The folder of the suite's programs.
    public var executables: String
    /// How many orders are to be sent, in all.
    public var submits: Int
    /// Worlds at one time.
    public var lanes = 4
    /// How often each lane begins anew, with empty books.
    public var rounds = 1
    public var killsAtEach = 1
    public var seed: UInt64 = 1
    /// Told how it goes, a line at a time.
    public var say: @Sendable (String) -> Void = { _ in }
    public var isKept = false

    public init(executables: String, submits: Int) {
        self.executables = executables
        self.submits = submits
    }

    public func run() async throws -> OrderResult {
        let began = MachineClock.real.now
        let folder = try TemporaryDirectory("orders")
        defer { folder.remove() }
        let postgres = try await PrivatePostgres.start(in: folder.path, maxConnections: 100 + lanes * 20)
        var result = OrderResult()
        do {
            for round in 0..<rounds {
                let part = try await self.round(round, in: folder.path, postgres)
                result.add(part)
                say("round \(round + 1) of \(rounds): \(result.submits) submits, \(result.kills) kills")
            }
        } catch {
            await postgres.stop(.immediate)
            throw error
        }
        await postgres.stop(.immediate)
        result.seconds = began.duration(to: MachineClock.real.now).inSeconds
        return result
    }

    private func round(_ round: Int, in folder: String, _ postgres: PrivatePostgres) async throws -> OrderResult {
        let points = (0..<killsAtEach).flatMap { _ in KillPoint.all }
        return try await withThrowingTaskGroup(of: OrderResult.self) { group in
            for lane in 0..<lanes {
                let number = round * lanes + lane
                let own = points.indices.filter { $0 % (lanes * rounds) == number }.map { points[$0] }
                group.addTask {
                    let plan = KillPlan(own, seed: seed &+ UInt64(number))
                    let world = try await OrderWorld(
                        "orders_\(number)", in: folder, executables: executables, postgres: postgres,
                        number % 2 == 0 ? .refuse : .accept, plan, IntentFeeder.settings)
                    let target = (submits + lanes * rounds - 1) / (lanes * rounds)
                    do {
                        let settings = RedisSettings(SettingsReader(environment: ["REDIS_URL": world.redis.url]))
                        let result = try await BusStation.run(settings, source: "rehearsal/1") { station in
                            try await OrderDrive(
                                world: world, target: target, kills: own.count,
                                seed: seed &+ UInt64(number) &* 7_919, bus: station.bus
                            ).run()
                        }
                        await world.end(isKept: isKept)
                        return result
                    } catch {
                        say("\(world.name): \(error)\n\(world.log)")
                        await world.end(isKept: isKept)
                        throw error
                    }
                }
            }
            var result = OrderResult()
            for try await part in group { result.add(part) }
            return result
        }
    }
}

/// What came of it.
public struct OrderResult: Sendable {
    public var submits = 0
    public var intents = 0
    public var hits: [KillPoint: Int] = [:]
    public var states: [String: Int] = [:]
    /// What became of signals, by the name of the verdict.
    public var verdicts: [String: Int] = [:]
    /// By what the venue calls them.
    public var faults: [String: Int] = [:]
    public var samples = 0
    public var largestExposure = Money.zero
    public var largestOfMarket = Money.zero
    /// From the venue's last fault to the end of the last order.
    public var settledWithin = 0.0
    /// The longest time between the storing of an order and its end, with the lives that were lost in between.
    public var longestOpen = 0.0
    /// Of the whole run.
    public var seconds = 0.0
    /// What is not as it must be; nothing else is a failure.
    public var violations: [String] = []

    public var kills: Int { hits.values.reduce(0, +) }
    public var limit: Money { IntentFeeder.total }
    public var limitOfMarket: Money { IntentFeeder.market }

    mutating func add(_ other: OrderResult) {
        submits += other.submits
        intents += other.intents
        hits.merge(other.hits, uniquingKeysWith: +)
        states.merge(other.states, uniquingKeysWith: +)
        verdicts.merge(other.verdicts, uniquingKeysWith: +)
        faults.merge(other.faults, uniquingKeysWith: +)
        samples += other.samples
        largestExposure = max(largestExposure, other.largestExposure)
        largestOfMarket = max(largestOfMarket, other.largestOfMarket)
        settledWithin = max(settledWithin, other.settledWithin)
        longestOpen = max(longestOpen, other.longestOpen)
        violations += other.violations
    }

    /// Every point with the number of kills at it.
    public var table: String {
        let lines = KillPoint.all.map { point in
            "\(point)".padding(toLength: 36, withPad: " ", startingAt: 0) + "\(hits[point] ?? 0)"
        }
        let missed = KillPoint.all.count { hits[$0] == nil }
        return "kills at \(KillPoint.all.count) points, \(missed) of them without one:\n"
            + lines.joined(separator: "\n")
    }
}
