import Domain
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers
import TestKit
import Wire

/// Two orchestrators in place of the fleet's one, each with ways to PostgreSQL and Redis of its own, made to be hurt.
public struct OrchestratorPair: Sendable {
    /// What becomes of the leader.
    public enum Loss: String, CaseIterable, Sendable {
        /// SIGKILL.
        case killed
        /// SIGSTOP.
        case stopped
        /// Nothing passes between it and PostgreSQL, and nothing is closed; Redis it still reaches.
        case cutOff = "cut_off"
        /// Nothing passes between it and Redis, and nothing is closed; PostgreSQL it still reaches.
        case deaf
    }

    private let fleet: FaultyFleet
    private let links: [FaultProxy]
    private let ears: [FaultProxy]

    /// Ends the fleet's orchestrator and starts the two; waits until one leads and the other stands by.
    public static func start(in fleet: FaultyFleet) async throws -> OrchestratorPair {
        await fleet.process("orchestrator")?.terminate()
        let links = [
            try await FaultProxy.start(to: fleet.postgres.port), try await FaultProxy.start(to: fleet.postgres.port),
        ]
        let ears = [try await FaultProxy.start(to: fleet.redis.port), try await FaultProxy.start(to: fleet.redis.port)]
        let pair = OrchestratorPair(fleet: fleet, links: links, ears: ears)
        for index in links.indices { try pair.start(index) }
        try await pair.untilBothThere()
        return pair
    }

    private static func name(_ index: Int) -> String { "orchestrator-\(index + 1)" }

    private func start(_ index: Int) throws {
        let own = "127.0.0.1:\(fleet.postgres.port)/"
        let path = fleet.postgres.url(database: "linesman").replacing(own, with: "127.0.0.1:\(links[index].port)/")
        try fleet.start(
            Self.name(index),
            [
                "SERVICE_INSTANCE": "\(index + 1)", "STATUS_PORT": "\(try FreePort.find())", "DATABASE_URL": path,
                "REDIS_URL": ears[index].url,
                "ALERT_LOG_PATH": "\(fleet.folder.path)/\(Self.name(index)).alerts.log",
            ], as: "orchestrator")
    }

    /// Who leads by the row, and under which term; nil while nobody does.
    public func leader() async throws -> (index: Int, term: Int64)? {
        let row = try await fleet.database.first(
            "SELECT holder, term FROM leadership WHERE expires_at > clock_timestamp()")
        guard let row else { return nil }
        let (holder, term) = (try row.text("holder"), try row.int64("term"))
        return links.indices.first { holder.hasPrefix("orchestrator/\($0 + 1)/") }.map { ($0, term) }
    }

    /// One leads and grants, and both have been heard since.
    public func untilBothThere() async throws {
        let began = fleet.clock.now
        try await eventually(within: .seconds(120), "one leads, the other stands by") {
            guard let leader = try await leader(), fleet.watch.grant(under: leader.term) != nil else { return false }
            let heard = fleet.watch.orchestrators
            return fleet.isBalanced && links.indices.allSatisfy { heard["\($0 + 1)"].map { $0 > began } ?? false }
        }
    }

    /// - Returns: when it was hurt.
    public func hurt(_ index: Int, _ loss: Loss) async throws -> MachineInstant {
        switch loss {
        case .killed: fleet.process(Self.name(index))?.signalGroup(SIGKILL)
        case .stopped: fleet.process(Self.name(index))?.signal(SIGSTOP)
        case .cutOff: try await links[index].stall()
        case .deaf: try await ears[index].stall()
        }
        return fleet.clock.now
    }

    public func mend(_ index: Int, _ loss: Loss) async throws {
        switch loss {
        case .killed:
            _ = await fleet.process(Self.name(index))?.wait()
            try start(index)
        case .stopped: fleet.process(Self.name(index))?.signal(SIGCONT)
        case .cutOff: try await links[index].pass()
        case .deaf: try await ears[index].pass()
        }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
