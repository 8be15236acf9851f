import Domain

/// What the simulator has done so far, for `GET /control/stats`.
struct SimulatorStatistics: Sendable {
    var steps = 0
    var facts = 0
    var connections = 0
    var commands = 0
    var pings = 0
    /// By frame type, over all connections.
    var frames: [String: Int] = [:]
    /// What the exchange published, whoever listened: the same in every run with the same trades.
    var published: [String: Int] = [:]
    /// By method and path.
    var requests: [String: Int] = [:]
    var answers: [Int: Int] = [:]
    var ordersAccepted = 0
    var ordersCancelled = 0
    /// By code.
    var ordersRefused: [String: Int] = [:]

    mutating func count(_ event: ExchangeEvent) { published[event.frameKind, default: 0] += 1 }
}
