import Hosting
import Runtime

/// The running suite as the orchestrator's `/status` tells it; only what the command line shows.
struct SuiteStatus: Decodable, Sendable {
    struct Fleet: Decodable, Sendable {
        let shards: [Shard]
        let games: [Game]
        let services: [Service]
        let isLeading: Bool
        let term: Int64?
    }

    struct Shard: Decodable, Sendable {
        let shard: String
        let status: String
        let failedChecks: [String]
        let games: Int
        let capacity: Int
        let heardMsAgo: Int64
        /// Nil from an orchestrator that cannot drain.
        let isDrained: Bool?
    }

    struct Game: Decodable, Sendable {
        let game: String
        let name: String
        let status: String
        let state: String
        let shard: String?
        let epoch: Int64?
        let markets: [String]
        let reason: String?
    }

    struct Service: Decodable, Sendable {
        let service: String
        let instance: String
        let status: String
        let failedChecks: [String]
        let heardMsAgo: Int64
    }

    struct AlertLine: Decodable, Sendable {
        let kind: String
        let state: String
        let summary: String
        let at: Int64
    }

    struct Monitor: Decodable, Sendable {
        let isOn: Bool
        let intervalMs: Int64
        let lastCycleMs: Double?
        let checks: [CheckReport]
    }

    struct Alerting: Decodable, Sendable {
        let isEnabled: Bool
        let firing: [String]
        let failingSinks: [String]
    }

    let fleet: Fleet
    /// Wall time of the answer, in microseconds since 1970.
    let at: Int64?
    /// What the orchestrator measures: Redis, PostgreSQL.
    let checks: [String: Bool]
    /// Nil from an orchestrator of before there was one.
    let monitor: Monitor?
    let alerting: Alerting?
    let bus: [BusReport]?
    let tradingMode: String
    let venueTime: String
    let recentAlerts: [AlertLine]
    /// Signals that the shards heard of have sent in their lives.
    let signalsSent: Int?
}
