import BusTestKit
import Domain
import Foundation
import Hosting
import Postgres
import Redis
import Resilience
import Runtime
import Servers
import TestKit

/// Arbitrages through a real execution-service that is killed at every step of a plan, at a venue that misbehaves and
/// at which second legs are whole, thin or dear (CHECKLIST N13, H1, H5).
public struct PlanRehearsal: Sendable {
    /// The folder of the suite's programs.
    public var executables: String
    /// Worlds at one time, each with its part of the points.
    public var lanes = 2
    public var seed: UInt64 = 1
    /// Told how it goes, a line at a time.
    public var say: @Sendable (String) -> Void = { _ in }
    public var isKept = false

    public init(executables: String) {
        self.executables = executables
    }

    public func run() async throws -> PlanResult {
        let folder = try TemporaryDirectory("plans")
        defer { folder.remove() }
        let postgres = try await PrivatePostgres.start(in: folder.path, maxConnections: 100 + lanes * 20)
        let result: Result<PlanResult, any Error>
        do {
            result = .success(
                try await withThrowingTaskGroup(of: PlanResult.self) { group in
                    for lane in 0..<lanes {
                        group.addTask { try await play(lane, in: folder.path, postgres) }
                    }
                    var result = PlanResult()
                    for try await part in group { result.add(part) }
                    return result
                })
        } catch {
            result = .failure(error)
        }
        await postgres.stop(.immediate)
        return try result.get()
    }

    private func play(_ lane: Int, in folder: String, _ postgres: PrivatePostgres) async throws -> PlanResult {
        let points = KillPoint.ofPlans.enumerated().filter { $0.offset % lanes == lane }.map(\.element)
        let world = try await OrderWorld(
            "plans_\(lane)", in: folder, executables: executables, postgres: postgres,
            lane % 2 == 0 ? .refuse : .accept, KillPlan(points, seed: seed &+ UInt64(lane)),
            [
                // As short as it can be, so that a life is soon followed by the next.
                "PLAN_LEASE_MS": "400", "PLAN_RETRY_MS": "50", "NAKED_PATIENCE_SECS": "1", "INTENT_SWEEP_MS": "100",
                "MAX_NAKED_SECS": "\(PlanDrive.nakedLimit.components.seconds)",
            ], playing: { try PlanMarkets.recording(from: $0) })
        let drive = PlanDrive(world: world, seed: seed &+ UInt64(lane) &* 7_919)
        do {
            let settings = RedisSettings(SettingsReader(environment: ["REDIS_URL": world.redis.url]))
            let result = try await BusStation.run(settings, source: "rehearsal/1") { try await drive.run($0.bus) }
            if !result.violations.isEmpty { say("\(world.name):\n\(world.log)") }
            await world.end(isKept: isKept)
            return result
        } catch {
            say("\(world.name): \(error)\n\(world.log)")
            await world.end(isKept: isKept)
            throw error
        }
    }
}

/// What came of it.
public struct PlanResult: Sendable {
    public var hits: [KillPoint: Int] = [:]
    /// Plans by how they ended.
    public var endings: [String: Int] = [:]
    /// Orders by what they were for.
    public var purposes: [String: Int] = [:]
    /// What the worst plan came to; negative is a loss.
    public var worst = Money.zero
    /// The longest that a leg stood alone, less the time in which an order's fate was unknown.
    public var longestAlone = Duration.zero
    /// What is not as it must be; nothing else is a failure.
    public var violations: [String] = []

    public var kills: Int { hits.values.reduce(0, +) }
    public var plans: Int { endings.values.reduce(0, +) }

    mutating func add(_ other: PlanResult) {
        hits.merge(other.hits, uniquingKeysWith: +)
        endings.merge(other.endings, uniquingKeysWith: +)
        purposes.merge(other.purposes, uniquingKeysWith: +)
        worst = min(worst, other.worst)
        longestAlone = max(longestAlone, other.longestAlone)
        violations += other.violations
    }

    /// In a few lines, for whoever runs it.
    public var report: String {
        func line(_ counts: [String: Int]) -> String {
            counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        }
        let missed = KillPoint.ofPlans.count { hits[$0] == nil }
        let points = KillPoint.ofPlans.map { point in
            "\(point)".padding(toLength: 36, withPad: " ", startingAt: 0) + "\(hits[point] ?? 0)"
        }
        return """
            \(plans) plans (\(line(endings))) with orders to \(line(purposes)); \(kills) kills
            worst result \(worst) of \(PlanFeeder.loss) allowed, alone at most \(longestAlone)
            kills at \(KillPoint.ofPlans.count) points, \(missed) of them without one:
            \(points.joined(separator: "\n"))
            """
    }
}
