import Alerting
import Bus
import Domain
import Foundation
import OrchestratorEngine
import Resilience
import Runtime
import TestKit
import Testing
import Wire

@testable import Orchestrator

/// What the shell tells the engine and the dispatcher, and what it keeps to itself.
@Suite struct HearingAndTellingTests {
    private func at(_ seconds: Int) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    @Test func `a jump in one publisher's sequence excuses nobody, whatever else was missed excuses all`() {
        let excusing = Gap.Reason.allCases.filter { Ear.word(on: $0, hears: true) == true }
        #expect(excusing == [.reconnected, .overflow, .trimmed, .dataLost])
        let whileDeaf = Gap.Reason.allCases.compactMap { Ear.word(on: $0, hears: false) }
        #expect(whileDeaf.isEmpty)
    }

    @Test func `that we are deaf is told each time, that we hear again once`() {
        var ear = Ear(at: at(1))
        let told = [true, false, false, true, true].enumerated().map { second, hears in
            ear.note(hears: hears, at: at(second + 2))
        }
        #expect(told == [nil, false, false, true, nil])
        #expect(ear.hearingSince == at(5))
    }

    @Test func `an outlook is long after one term has judged without a break`() {
        var outlook = Outlook(patience: .seconds(60))
        // Lost for a moment, or led by another meanwhile: from the beginning.
        let looks: [(second: Int, term: Int64?)] = [
            (0, nil), (10, 1), (69, 1), (70, nil), (71, 1), (130, 3), (189, 3), (190, 3),
        ]
        let long = looks.filter { outlook.isLong(term: $0.term, at: at($0.second)) }.map(\.second)
        #expect(long == [190])
    }

    @Test func `a command decided under an earlier term of ours is not said under a later one`() throws {
        let command = Command(
            id: "t1c1", shard: "shard-01", game: "g1", epoch: try Epoch(1), order: .revoke(reason: "moved"))
        func may(_ effect: Effect, _ decided: Int64?, _ present: Int64?) -> Bool {
            BusLane.maySay(EffectLanes.Job(effect: effect, term: decided), term: present)
        }
        #expect(may(.sendCommand(command), 1, 1))
        #expect(!may(.sendCommand(command), 1, 3))
        #expect(!may(.sendCommand(command), 1, nil))
        #expect(!may(.sendCommand(command), nil, nil))
        #expect(!may(.grant("shard-01", "life", beat: 1, term: 1), 1, 3))
        #expect(may(.grant("shard-01", "life", beat: 1, term: 3), 3, 3))
        #expect(may(.notify(.shardRecovered("shard-01")), nil, nil))
    }

    /// A dispatcher whose file has room of its own, running until the body has ended.
    private func withDispatcher(
        in folder: String, _ body: (AlertDispatcher) async throws -> Void
    ) async throws {
        let life = try await live(in: folder, body)
        // The next life needs its file; a process that is just being spawned beside us may hold the lock until it runs.
        try await eventually(within: .seconds(60), "the file is let go") {
            life.dispatcher == nil && Self.isFree("\(folder)/alerts.log.lock")
        }
    }

    private static func isFree(_ lock: String) -> Bool {
        let descriptor = open(lock, O_RDWR | O_CLOEXEC)
        if descriptor < 0 { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) == 0
    }

    private struct Life: Sendable {
        weak let dispatcher: AlertDispatcher?
    }

    private func live(in folder: String, _ body: (AlertDispatcher) async throws -> Void) async throws -> Life {
        let settings = AlertSettings(SettingsReader(environment: ["ALERT_LOG_PATH": "\(folder)/alerts.log"]))
        let dispatcher = AlertDispatcher(
            settings: settings, source: "orchestrator/1", clock: .real, wall: .real, log: LogCapture().logger(),
            metrics: MetricsRegistry())
        // Awaited below.
        let running = Task { try await dispatcher.run() }
        try await eventually(within: .seconds(20), "the file was read") { dispatcher.isStored }
        try await body(dispatcher)
        try await eventually(within: .seconds(20), "all is in the file") { dispatcher.isStored }
        running.cancel()
        // Its error is the cancellation.
        _ = try? await running.value
        return Life(dispatcher: dispatcher)
    }

    private func hand(_ effects: [Effect], to dispatcher: AlertDispatcher) async {
        let (stream, continuation) = AsyncStream.makeStream(of: Effect.self)
        for effect in effects { continuation.yield(effect) }
        continuation.finish()
        await AlertLane(alerts: dispatcher, isMonitoring: true).run(stream)
    }

    // Also over the death of who told it.
    @Test(.timeLimit(.minutes(4)))
    func `when another leads, the old leader ends exactly what it told as one, in this life or the last`() async throws
    {
        let folder = FileManager.default.temporaryDirectory.appending(path: "alerts-\(UUID().uuidString)")
        // Left behind only when the machine cannot remove it.
        defer { try? FileManager.default.removeItem(at: folder) }
        let raised: [AlertKind] = [.redisConnectivityIssue, .capacityExhausted, .noMarketDiscoveryServices]
        var engine = OrchestratorEngine()
        let handedOver = engine.handle(.anotherLeads, at: at(1))
        try await withDispatcher(in: folder.path) { dispatcher in
            await hand(raised.map { .raiseAlert($0, fingerprint: $0.rawValue, facts: [:]) }, to: dispatcher)
            #expect(dispatcher.firing.count == 3)
            let end = Effect.recoverAlert(.capacityExhausted, fingerprint: "CapacityExhausted", after: .zero)
            await hand([end], to: dispatcher)
        }
        // Killed; its next life stands by.
        try await withDispatcher(in: folder.path) { dispatcher in
            #expect(dispatcher.firing == ["NoMarketDiscoveryServices", "RedisConnectivityIssue"])
            await hand(handedOver, to: dispatcher)
            #expect(dispatcher.firing == ["RedisConnectivityIssue"])
            let told = dispatcher.recent.map { "\($0.kind) \($0.state)" }
            #expect(
                told == [
                    "RedisConnectivityIssue firing", "CapacityExhausted firing", "NoMarketDiscoveryServices firing",
                    "CapacityExhausted recovered", "NoMarketDiscoveryServices recovered",
                ])
            #expect(dispatcher.recent.last?.summary.contains("Another orchestrator leads") == true)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `the end of what only an earlier leader had is left to whoever raised it`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "alerts-\(UUID().uuidString)")
        // Left behind only when the machine cannot remove it.
        defer { try? FileManager.default.removeItem(at: folder) }
        let settings = AlertSettings(SettingsReader(environment: ["ALERT_LOG_PATH": "\(folder.path)/alerts.log"]))
        let dispatcher = AlertDispatcher(
            settings: settings, source: "orchestrator/2", clock: .real, wall: .real, log: LogCapture().logger(),
            metrics: MetricsRegistry())
        func alert(_ state: SystemAlert.State, _ id: String) throws -> SystemAlert {
            SystemAlert(
                id: try AlertID(id), kind: "OrderUnknown", fingerprint: "order:1", state: state, summary: "order 1",
                detail: [:], at: 1)
        }
        func take(_ state: SystemAlert.State, _ id: String) throws -> Bool {
            SystemAlerts.take(try alert(state, id), from: "execution/1", into: dispatcher)
        }
        // Awaited below.
        let running = Task { try await dispatcher.run() }
        try await eventually(within: .seconds(20), "the file was read") { dispatcher.isStored }

        #expect(try !take(.recovered, "execution/1/1"))
        #expect(try take(.firing, "execution/1/2"))
        #expect(try take(.recovered, "execution/1/3"))
        // Told twice by the bus: ours no more.
        #expect(try !take(.recovered, "execution/1/4"))
        running.cancel()
        // Its error is the cancellation.
        _ = try? await running.value
    }
}
