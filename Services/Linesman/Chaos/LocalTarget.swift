import ChaosEngine
import Faults
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers

/// A suite on private servers, hurt by signals, by the proxies between and by what the simulated venue can do.
final class LocalTarget: ChaosTarget {
    private let suite: LocalSuite
    private let clock: MachineClock
    private let arrivalsSeen = NIOLockedValueBox(0)
    private let alertFiles: AlertFiles

    let isBusy = true
    let isOwn = true

    /// A suite that has what the scenario needs, and lacks what it needs to be absent.
    static func start(for scenario: Scenario, clock: MachineClock = .real) async throws -> LocalTarget {
        let hasStandby = scenario.standby != .absent
        return LocalTarget(
            try await LocalSuite.start(hasStandby: hasStandby, games: scenario.games, clock: clock), clock)
    }

    var hasStandby: Bool { suite.statusPorts.count > 1 }

    private init(_ suite: LocalSuite, _ clock: MachineClock) {
        self.suite = suite
        alertFiles = AlertFiles(in: suite.folder.path)
        self.clock = clock
    }

    func stop() async { await suite.stop() }

    func places() async throws -> SuitePlaces {
        SuitePlaces(
            database: suite.postgres.url(database: "linesman"), redis: suite.redis.url,
            orchestrators: suite.statusPorts.values.sorted().map { "http://127.0.0.1:\($0)" },
            venue: suite.venue.controlURL)
    }

    func delivered() -> Set<String>? {
        let taken = suite.sink.taken
        let seen = arrivalsSeen.withLockedValue { seen in
            defer { seen = taken.count }
            return seen
        }
        let kinds = taken.dropFirst(seen).flatMap { $0.text.matches(of: /[A-Za-z]{6,}/).map { String($0.0) } }
        return Set(kinds)
    }

    func filed() -> [Sample.Alert]? { alertFiles.read() }

    func keepLogs(in folder: String) throws { try Self.copyLogs(of: suite.folder.path, to: folder) }

    /// What an earlier round has left there is replaced.
    static func copyLogs(of folder: String, to other: String) throws {
        let files = FileManager.default
        try files.createDirectory(atPath: other, withIntermediateDirectories: true)
        for name in try files.contentsOfDirectory(atPath: folder) where name.hasSuffix(".log") {
            let copy = "\(other)/\(name)"
            if files.fileExists(atPath: copy) { try files.removeItem(atPath: copy) }
            try files.copyItem(atPath: "\(folder)/\(name)", toPath: copy)
        }
    }

    func watcherAge() -> Duration? { suite.watcher.arrivals.last.map { clock.now.since($0.at) } }

    func obstacle(to fault: Fault) -> String? {
        switch fault.kind {
        case .fillDisk: suite.disk == nil ? "needs the right to mount (root)" : nil
        case .stepClock: FalseClock.isThere ? nil : "needs libfaketime (apt-get install faketime)"
        case .exhaust: MemoryGroup.obstacle
        default: nil
        }
    }

    func troubles() -> [String] { suite.obituaries() }

    // MARK: - Faults

    func arm(
        _ fault: Fault, victims: [String], leader: String?, undoneAfter limit: Duration
    ) async throws -> any ArmedFault {
        switch fault.part {
        case .redis: return try ofRedis(fault.kind)
        case .postgres: return try ofPostgres(fault.kind)
        case .venue, .scores:
            guard let armed = VenueFault(fault.kind, at: suite.venue.controlURL, for: limit) else { break }
            return armed
        case .slack:
            return OwnFault(
                making: { [suite] in suite.sink.behave { _ in .status(500, "rehearsed") } },
                undoing: { [suite] in suite.sink.behave { _ in .slack } })
        case .machine: return BusyLoops(count: ProcessInfo.processInfo.processorCount * 2)
        case .leader:
            let name = suite.statusPorts.first { "http://127.0.0.1:\($0.value)" == leader }?.key
            guard let name else { throw ChaosFailure("nobody leads") }
            return try ofProcesses(fault.kind, [name])
        case .orchestrators: return try ofProcesses(fault.kind, suite.statusPorts.keys.sorted())
        case .suite: return try ofProcesses(fault.kind, suite.names)
        default: return try ofProcesses(fault.kind, victims)
        }
        throw ChaosFailure("\(fault.kind) of \(fault.part) is not known")
    }

    private func ofProcesses(_ kind: Fault.Kind, _ names: [String]) throws -> any ArmedFault {
        let suite = suite
        /// All at once.
        @Sendable func each(_ body: @escaping @Sendable (ChildProcess) async -> Void) async throws {
            let children = try names.map(suite.child)
            await withTaskGroup(of: Void.self) { tasks in
                for child in children { tasks.addTask { await body(child) } }
            }
        }
        /// As above, for good.
        @Sendable func end(_ how: @escaping @Sendable (ChildProcess) async throws -> Void) async throws {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for name in names { tasks.addTask { try await suite.end(name, how) } }
                try await tasks.waitForAll()
            }
        }
        @Sendable func spawnAll() throws { for name in names { try suite.spawn(name) } }
        switch kind {
        case .kill: return OwnFault(making: { try await end { await $0.kill9() } }, undoing: spawnAll)
        case .stop: return OwnFault(making: { try await end { await $0.terminate() } }, undoing: spawnAll)
        case .restart:
            return OwnFault(
                making: { [clock] in
                    try await end { await $0.terminate() }
                    // Whoever starts it again takes a moment: Docker needs about so long for a container.
                    try await clock.sleep(for: .milliseconds(500))
                    try spawnAll()
                }, undoing: spawnAll)
        case .exhaust:
            return OwnFault(
                making: { [clock] in try await end { try await MemoryGroup.exhaust($0, clock: clock) } },
                undoing: spawnAll)
        case .freeze:
            return OwnFault(
                making: { try await each { $0.signal(SIGSTOP) } }, undoing: { try await each { $0.signal(SIGCONT) } })
        case .partition, .deafen:
            let links = names.compactMap { suite.links[$0] }
                .flatMap { kind == .deafen ? [$0.redis] : [$0.redis, $0.postgres] }
            guard !links.isEmpty else { throw ChaosFailure("\(names.joined(separator: ", ")) cannot be cut off") }
            return OwnFault(
                making: {
                    for link in links {
                        try await link.admit(.ignore)
                        try await link.forget()
                    }
                }, undoing: { for link in links { try await link.pass() } })
        case .impersonate:
            let twins = names.map { ($0, "\($0)-twin") }
            return OwnFault(
                making: { for (name, twin) in twins { try suite.spawn(name, as: twin) } },
                undoing: {
                    for (_, twin) in twins { try await suite.end(twin) { await $0.terminate() } }
                    // Who was replaced says nothing any more until it is started again.
                    try await end { await $0.terminate() }
                    try spawnAll()
                })
        case .stepClock:
            return OwnFault(
                making: { try FalseClock.set(.seconds(60), in: suite.folder.path) },
                undoing: { try FalseClock.set(.zero, in: suite.folder.path) })
        default: throw ChaosFailure("\(kind) is not known of processes")
        }
    }

    private func ofRedis(_ kind: Fault.Kind) throws -> any ArmedFault {
        let redis = suite.redis
        let again = OwnFault(making: {}, undoing: { try await redis.startAgain() })
        let awake = OwnFault(making: {}, undoing: { redis.resume() })
        switch kind {
        case .kill: return OwnFault(making: { await redis.kill() }, undoing: again.undoing)
        case .stop: return OwnFault(making: { await redis.stop() }, undoing: again.undoing)
        case .restart: return OwnFault(making: { try await redis.restart() }, undoing: again.undoing)
        case .freeze: return OwnFault(making: { redis.pause() }, undoing: awake.undoing)
        case .stutter:
            return RepeatedFault(every: .milliseconds(50), clock: clock, undoing: awake) { [clock] in
                redis.pause()
                defer { redis.resume() }
                try await clock.sleep(for: .milliseconds(150))
            }
        case .flush: return OwnFault(making: { try await redis.ask("FLUSHALL") }, undoing: {})
        case .starve:
            return OwnFault(
                making: { try await redis.ask("CONFIG SET maxmemory 1") },
                undoing: { try await redis.ask("CONFIG SET maxmemory 0") })
        default: throw ChaosFailure("\(kind) is not known of Redis")
        }
    }

    private func ofPostgres(_ kind: Fault.Kind) throws -> any ArmedFault {
        let postgres = suite.postgres
        let again = OwnFault(making: {}, undoing: { try await postgres.startAgain() })
        switch kind {
        case .kill: return OwnFault(making: { await postgres.kill() }, undoing: again.undoing)
        case .stop: return OwnFault(making: { await postgres.stop(.fast) }, undoing: again.undoing)
        case .restart: return OwnFault(making: { try await postgres.restart() }, undoing: again.undoing)
        case .freeze: return OwnFault(making: { postgres.pause() }, undoing: { postgres.resume() })
        case .terminate:
            let nothing = OwnFault(making: {}, undoing: {})
            return RepeatedFault(every: .milliseconds(300), clock: clock, undoing: nothing) {
                try await postgres.run(
                    sql: """
                        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE datname = 'linesman' AND pid <> pg_backend_pid()
                        """)
            }
        case .fillDisk:
            guard let disk = suite.disk else { throw ChaosFailure("there is no disk to fill") }
            let undoing = OwnFault(
                making: {},
                undoing: {
                    disk.clear()
                    // A server that could not write its log has ended.
                    try await postgres.startAgain()
                })
            // One that starts again throws away what it needs no longer, and would have room for the rest of the round.
            return RepeatedFault(every: .milliseconds(100), clock: clock, undoing: undoing) {
                // The first session of a database writes a file; without it none would get as far as the log. Later
                // there may be no server.
                _ = try? await postgres.run(sql: "SELECT 1")
                try await disk.fill()
                // Segments of the log that were made before are used up. An error is what is wanted.
                for _ in 0..<64 {
                    let statement = "SELECT pg_logical_emit_message(true, 'chaos', 'full'), pg_switch_wal()"
                    guard (try? await postgres.run(sql: statement)) != nil else { return }
                }
                throw ChaosFailure("PostgreSQL still writes its log")
            }
        default: throw ChaosFailure("\(kind) is not known of PostgreSQL")
        }
    }
}

/// Processes that do nothing, as fast as they can.
final class BusyLoops: ArmedFault {
    private let count: Int
    private let loops = NIOLockedValueBox<[ChildProcess]>([])

    init(count: Int) { self.count = count }

    func make() async throws {
        for _ in 0..<count {
            let loop = try ChildProcess.spawn("sh", ["-c", "while :; do :; done"])
            loops.withLockedValue { $0.append(loop) }
        }
    }

    func undo() async throws {
        for loop in loops.withLockedValue({ $0 }) { _ = await loop.kill9() }
        loops.withLockedValue { $0 = [] }
    }
}
