import AsyncHTTPClient
import Logging
import Resilience
import Runtime

/// Tells operators what they must know: first the synced file, then Slack and the webhook, not too often.
///
/// `raise` returns when the alert is in the file; sending happens beside it and never delays the caller.
public actor AlertDispatcher {
    private let settings: AlertSettings
    private let source: String
    private let clock: MachineClock
    private let wall: WallClock
    private let log: Logger
    private let file: AlertFile
    private let sinks: [WebhookSink]
    private let written: Counter
    private let held: Counter
    private let failed: Counter
    private var limiter: AlertLimiter
    private var waiting: [Alert] = []
    private var kept: [Alert] = []
    private var serial = 0

    /// The most alerts that wait to be sent; older ones stay in the file only.
    static let queueLimit = 1_000

    public init(
        settings: AlertSettings, source: String, clock: MachineClock, wall: WallClock, log: Logger,
        metrics: MetricsRegistry
    ) {
        self.settings = settings
        self.source = source
        self.clock = clock
        self.wall = wall
        self.log = log
        file = AlertFile(path: settings.logPath)
        limiter = AlertLimiter(window: settings.rateLimit)
        sinks = [
            settings.slackWebhook.map { WebhookSink(name: "slack", url: $0, shape: .slack) },
            settings.customWebhook.map { WebhookSink(name: "webhook", url: $0, shape: .plain) },
        ].compactMap { $0 }
        written = metrics.counter("alerts_written_total", "Alerts written to the alert file.")
        held = metrics.counter("alerts_suppressed_total", "Alerts held back by the rate limit.")
        failed = metrics.counter("alerts_failed_total", "Alerts that a sink or the file did not take.")
    }

    /// The newest alerts, newest last.
    public var recent: [Alert] { kept }
    /// Fingerprints that fire now.
    public var firing: [String] { limiter.firing }

    /// Raises an alert; the same fingerprint is told at most once per window.
    public func raise(kind: String, fingerprint: String, summary: String, detail: [String: String] = [:]) {
        guard settings.isEnabled else { return }
        switch limiter.fire(fingerprint, at: clock.now) {
        case .tell(let suppressed):
            var alert = make(kind: kind, fingerprint: fingerprint, state: .firing, summary: summary, detail: detail)
            alert.suppressed = suppressed
            tell(alert)
        case .suppress, .ignore, .tellRecovery:
            held.increment()
        }
    }

    /// Says that a cause is gone, when it had been told that it was there.
    public func recover(kind: String, fingerprint: String, summary: String) {
        guard settings.isEnabled else { return }
        guard case .tellRecovery(let lasted, let suppressed) = limiter.recover(fingerprint, at: clock.now) else {
            return
        }
        var alert = make(kind: kind, fingerprint: fingerprint, state: .recovered, summary: summary, detail: [:])
        alert.suppressed = suppressed
        alert.lastedMilliseconds = lasted.wholeMilliseconds
        tell(alert)
    }

    private func make(
        kind: String, fingerprint: String, state: Alert.State, summary: String, detail: [String: String]
    ) -> Alert {
        serial += 1
        let now = wall.microseconds
        return Alert(
            id: "\(source)-\(now)-\(serial)", kind: kind, fingerprint: fingerprint, state: state, summary: summary,
            detail: detail, source: source, at: now)
    }

    private func tell(_ alert: Alert) {
        kept.append(alert)
        if kept.count > 100 { kept.removeFirst() }
        do {
            try file.append(alert)
            written.increment()
        } catch {
            failed.increment()
            log.error("alert not written", metadata: [Key.error: "\(error)", Key.kind: "\(alert.kind)"])
        }
        guard !sinks.isEmpty else { return }
        waiting.append(alert)
        if waiting.count > Self.queueLimit { waiting.removeFirst() }
    }

    /// Sends what waits, one message a second to each sink, until cancelled.
    public func run() async throws {
        guard !sinks.isEmpty else { return }
        let client = HTTPClient(eventLoopGroupProvider: .singleton)
        do {
            while !Task.isCancelled {
                guard !waiting.isEmpty else {
                    try await clock.sleep(for: .milliseconds(200))
                    continue
                }
                await send(waiting.removeFirst(), with: client)
                try await clock.sleep(for: .seconds(1))
            }
            try await client.shutdown()
        } catch {
            try await client.shutdown()
            throw error
        }
    }

    private func send(_ alert: Alert, with client: HTTPClient) async {
        for sink in sinks {
            for attempt in 1...3 {
                do {
                    try await sink.send(alert, with: client)
                    break
                } catch {
                    let isTransient = (error as? AlertError)?.isTransient ?? false
                    log.warning(
                        "alert not delivered",
                        metadata: [Key.error: "\(error)", Key.attempt: "\(attempt)", Key.kind: "\(alert.kind)"])
                    if !isTransient || attempt == 3 {
                        failed.increment()
                        break
                    }
                    // Cancelled while waiting: the alert is in the file.
                    guard (try? await clock.sleep(for: .seconds(attempt))) != nil else { return }
                }
            }
        }
    }
}
