import Runtime

/// What `/status` of a service says; the orchestrator's own page says more.
public struct ServiceStatusDocument: Encodable, Sendable {
    public struct Part: Encodable, Sendable {
        public let name: String
        public let tier: String
        public let state: String
        public let restarts: Int
    }

    public let service: String
    public let instance: String
    public let incarnation: String
    /// Wall time in microseconds since 1970.
    public let startedAt: Int64
    public let build: String
    public let tradingMode: String
    public let checks: [String: Bool]
    public let parts: [Part]
}

extension ServiceHost {
    /// Serves `/healthz`, `/readyz`, `/metrics` and `/status` where `SERVICE_STATUS_PORT` says; nothing when it is 0.
    ///
    /// Live is a process that has found both servers at its start and whose critical parts run; ready is one whose
    /// checks are all well. A port that is taken is tried again, and takes nothing else with it.
    public func serveStatus(_ board: HealthBoard) {
        let settings = settings
        guard settings.statusPort > 0 else { return }
        let routes = StatusRoutes(
            checks: { board.checks }, metrics: { context.metrics.prometheusText() },
            status: { document(board.checks) })
        supervisor.add("service-status", .important) {
            try await StatusServer(host: settings.statusHost, port: settings.statusPort, routes: routes, log: log).run()
        }
    }

    private func document(_ checks: [String: Bool]) -> ServiceStatusDocument {
        ServiceStatusDocument(
            service: context.service, instance: settings.instance, incarnation: incarnation.rawValue,
            startedAt: context.startedAt, build: settings.build, tradingMode: settings.trading.mode.rawValue,
            checks: checks,
            parts: supervisor.report.map {
                ServiceStatusDocument.Part(
                    name: $0.name, tier: $0.tier.rawValue, state: $0.state.rawValue, restarts: $0.restarts)
            })
    }
}
