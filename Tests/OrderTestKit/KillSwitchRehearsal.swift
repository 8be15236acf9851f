import AsyncHTTPClient
import Bus
import BusTestKit
import Domain
import Foundation
import Hosting
import NIOCore
import Postgres
import Redis
import Resilience
import Runtime
import Servers
import TestKit

/// Engages the kill switch again and again while orders flow, and sees at the venue when the last one came.
public struct KillSwitchRehearsal: Sendable {
    /// What is away when the switch is engaged.
    public enum Outage: String, CaseIterable, Sendable {
        case nothing
        case redis
        case postgres
        case both
        case orchestrator
    }

    /// How it is engaged.
    public enum Trigger: String, CaseIterable, Sendable {
        case command
        case http
        /// By hand.
        case file
    }

    public struct Round: Sendable {
        public let outage: Outage
        public let trigger: Trigger
        /// From the return of whoever engaged it to the first byte of the last order that left; 0 when none left.
        public let leaving: Double
        /// From the trigger to its return, in seconds.
        public let engaging: Double
        /// From the trigger to the first byte of the last order; 0 when none left.
        public let stopping: Double
        /// Orders that left later than a generous bound after the return.
        public let late: Int
        /// Intents that were turned away while it was engaged.
        public let refused: Int
    }

    /// No machine is so busy that a process would take longer from its last look to its write.
    static let bound = Duration.seconds(2)
    private static let token = "a-token-for-rehearsals-only"

    public var executables: String
    public var rounds: Int
    public var cases: [(Outage, Trigger)] =
        Outage.allCases.map { ($0, .command) } + [(.nothing, .http), (.both, .file)]
    public var say: @Sendable (String) -> Void = { _ in }

    public init(executables: String, rounds: Int) {
        self.executables = executables
        self.rounds = rounds
    }

    public func run() async throws -> [Round] {
        let folder = try TemporaryDirectory("switch")
        defer { folder.remove() }
        let postgres = try await PrivatePostgres.start(in: folder.path)
        let result: Result<[Round], any Error>
        do {
            let world = try await OrderWorld(
                "kill_switch", in: folder.path, executables: executables, postgres: postgres, .refuse,
                KillPlan([], seed: 1), IntentFeeder.settings)
            result = await Self.result {
                do {
                    let settings = RedisSettings(SettingsReader(environment: ["REDIS_URL": world.redis.url]))
                    return try await BusStation.run(settings, source: "rehearsal/1") { try await play(world, $0.bus) }
                } catch { throw NotInTime(description: "\(error)\n\(world.log)") }
            }
            await world.end(isKept: false)
        } catch {
            result = .failure(error)
        }
        await postgres.stop(.immediate)
        return try result.get()
    }

    private static func result<R>(_ body: () async throws -> R) async -> Result<R, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    private func play(_ world: OrderWorld, _ bus: Bus) async throws -> [Round] {
        let feeder = IntentFeeder(pool: world.pool, account: TradingAccount(.paper), bus: bus)
        try await feeder.prepare()
        let port = try FreePort.find()
        let orchestrator = try world.startOrchestrator(port: port, token: Self.token)
        // All three end before this function does.
        let supervision = Task { try await world.supervise() }
        let feeding = Task { await Self.feed(feeder) }
        let telling = Task { await feeder.tellPrices() }
        let result = await Self.result {
            var all: [Round] = []
            for (outage, trigger) in cases {
                for _ in 0..<rounds {
                    all.append(
                        try await KillSwitchRound(
                            world: world, orchestrator: orchestrator, port: port, token: Self.token, outage: outage,
                            trigger: trigger
                        ).run())
                }
                say("\(outage.rawValue) away, by \(trigger.rawValue): \(rounds) rounds")
            }
            return all
        }
        feeding.cancel()
        telling.cancel()
        await feeding.value
        await telling.value
        orchestrator.signal(SIGCONT)
        await orchestrator.terminate()
        await world.stop()
        supervision.cancel()
        return try result.get()
    }

    /// Intents without an end, also after an outage.
    private static func feed(_ feeder: IntentFeeder) async {
        var generator = SeededGenerator(seed: 7)
        while !Task.isCancelled {
            // A database that is away takes none.
            try? await feeder.feed(atMost: IntentFeeder.waiting, &generator)
            try? await MachineClock.real.sleep(for: .milliseconds(30))  // cancelled: the loop sees it
        }
    }
}

/// One engaging and its release.
private struct KillSwitchRound {
    let world: OrderWorld
    let orchestrator: ChildProcess
    let port: Int
    let token: String
    let outage: KillSwitchRehearsal.Outage
    let trigger: KillSwitchRehearsal.Trigger
    private let clock = MachineClock.real

    init(
        world: OrderWorld, orchestrator: ChildProcess, port: Int, token: String, outage: KillSwitchRehearsal.Outage,
        trigger: KillSwitchRehearsal.Trigger
    ) {
        self.world = world
        self.orchestrator = orchestrator
        self.port = port
        self.token = token
        self.outage = outage
        self.trigger = trigger
    }

    private var submits: [MachineInstant] { world.venueTap.times(.submit) }
    private var isAwayPostgres: Bool { [.postgres, .both].contains(outage) }
    private var isAwayRedis: Bool { [.redis, .both].contains(outage) }

    func run() async throws -> KillSwitchRehearsal.Round {
        let before = submits.count
        try await eventually(within: .seconds(90), "orders flow") { submits.count > before + 5 }
        await takeAway()
        let started = clock.now
        try await engage()
        let returned = clock.now
        try await bringBack()
        let refused = try await untilRefused()
        let bounded = returned.advanced(by: KillSwitchRehearsal.bound)
        try await eventually(within: .seconds(60), "the bound is over") { clock.now > bounded }
        let after = submits.filter { $0 > returned }
        let round = KillSwitchRehearsal.Round(
            outage: outage, trigger: trigger, leaving: after.last.map { returned.duration(to: $0).inSeconds } ?? 0,
            engaging: started.duration(to: returned).inSeconds,
            stopping: submits.last.map { max(0, started.duration(to: $0).inSeconds) } ?? 0,
            late: after.count { $0 > bounded }, refused: refused)
        try await eventually(within: .seconds(60), "it is released") {
            try await world.linesman("release", "--reason", "rehearsed", "--within", "0").status == .exited(0)
        }
        return round
    }

    // MARK: Outages

    private func takeAway() async {
        if isAwayRedis { await world.redis.kill() }
        if isAwayPostgres { await world.postgres.kill() }
        if outage == .orchestrator { orchestrator.signal(SIGSTOP) }
    }

    private func bringBack() async throws {
        if isAwayPostgres { try await world.postgres.startAgain() }
        if isAwayRedis { try await world.redis.startAgain() }
        if outage == .orchestrator { orchestrator.signal(SIGCONT) }
    }

    // MARK: Triggers

    private func engage() async throws {
        switch trigger {
        case .command:
            let (status, output) = try await world.linesman("engage", "--reason", "rehearsal", "--within", "0")
            let expected: ChildProcess.ExitStatus = .exited(isAwayPostgres ? 75 : 0)
            guard status == expected else { throw NotInTime(description: "engage ended with \(status): \(output)") }
        case .http:
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/control/kill-switch/engage")
            request.method = .POST
            request.headers.add(name: "Authorization", value: "Bearer \(token)")
            request.body = .bytes(ByteBuffer(string: #"{"reason": "rehearsal", "by": "rehearsal"}"#))
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
            guard response.status.code == (isAwayPostgres ? 202 : 200) else {
                throw NotInTime(description: "the orchestrator answers \(response.status)")
            }
        case .file: try world.killSwitch.create("by hand")
        }
    }

    /// Waits until intents were turned away, so that it is not for want of work that nothing leaves.
    private func untilRefused() async throws -> Int {
        let sql: SQL = """
            SELECT count(*) AS n FROM audit_log
            WHERE details ->> 'reason' IN ('kill_switch', 'kill_switch_file', 'kill_switch_notice')
            """
        var before: Int?
        var now = 0
        try await eventually(within: .seconds(90), "intents are turned away") {
            // The pool may yet believe that the server is away.
            do { now = try await world.count(sql) } catch let error as PostgresError where error.code != .permanent {
                return false
            }
            before = before ?? now
            return now >= (before ?? now) + 3
        }
        return now - (before ?? now)
    }
}
