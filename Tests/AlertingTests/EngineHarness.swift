import Resilience

@testable import Alerting

/// An engine with a file that takes everything at once, and time that the test moves.
struct Desk {
    var engine: AlertEngine
    var now = MachineInstant.origin
    var file: [Alert] = []
    var cursors: [String: SinkCursor] = [:]
    var sent: [(message: AlertMessage, sink: String, at: MachineInstant)] = []
    /// What the sinks answer; nil leaves the message unanswered.
    var answer: (AlertMessage, String) -> SinkAnswer? = { _, _ in .delivered }
    var fileTakes = true
    private var serial = 0

    init(
        sinks: [String] = ["slack"], policy: AlertPolicy = AlertPolicy(), isEnabled: Bool = true,
        at start: Duration = .seconds(1_000)
    ) {
        now = now.advanced(by: start)
        engine = AlertEngine(
            policy: policy, isEnabled: isEnabled, source: "orchestrator/1", sinks: sinks, seed: 1, at: now)
        take(.restore(records: [], cursors: [:], at: wall))
    }

    var wall: Int64 { now.nanoseconds / 1_000 }

    func request(
        _ fingerprint: String, kind: String = "shardDead", severity: AlertSeverity = .critical,
        isLasting: Bool = true, id: String
    ) -> AlertRequest {
        AlertRequest(
            id: id, kind: kind, severity: severity, fingerprint: fingerprint, summary: "\(fingerprint) is gone",
            detail: ["number": fingerprint], source: "orchestrator/1", at: wall, isLasting: isLasting)
    }

    mutating func fire(
        _ fingerprint: String, kind: String = "shardDead", severity: AlertSeverity = .critical,
        isLasting: Bool = true, id: String? = nil
    ) {
        serial += 1
        take(
            .fire(
                request(
                    fingerprint, kind: kind, severity: severity, isLasting: isLasting, id: id ?? "\(serial)-\(wall)")))
    }

    mutating func resolve(_ fingerprint: String) {
        take(.resolve(fingerprint: fingerprint, summary: nil, at: wall))
    }

    mutating func take(_ event: AlertEngine.Event) {
        var queue = engine.handle(event, at: now)
        while !queue.isEmpty {
            let effect = queue.removeFirst()
            switch effect {
            case .append(let alerts):
                if fileTakes { file += alerts }
                let sequences = alerts.map(\.sequence)
                queue += engine.handle(
                    fileTakes ? .stored(sequences, at: wall) : .notStored(sequences, .diskFull), at: now)
            case .saveCursor(let cursor, let sink): cursors[sink] = cursor
            case .send(let message, let sink):
                sent.append((message, sink, now))
                if let answer = answer(message, sink) {
                    queue += engine.handle(.answered(sink: sink, answer, at: wall), at: now)
                }
            }
        }
    }

    /// Moves time on, with a tick at each deadline of the engine.
    mutating func pass(_ duration: Duration) {
        let end = now.advanced(by: duration)
        while let due = engine.nextDeadline, due <= end {
            now = max(now.advanced(by: .milliseconds(1)), due)
            take(.tick(at: wall))
        }
        now = max(now, end)
        take(.tick(at: wall))
    }

    /// As the next life finds it, or does not, until `read`.
    mutating func restart(after pause: Duration = .zero, isRead: Bool = true) {
        now = now.advanced(by: pause)
        engine = AlertEngine(
            policy: engine.policy, source: "orchestrator/1", sinks: engine.waiting.keys.sorted(), seed: 2, at: now)
        fileTakes = isRead
        if isRead { read() } else { take(.beginUnread(at: wall)) }
    }

    mutating func read() {
        fileTakes = true
        take(.restore(records: file, cursors: cursors, at: wall))
    }

    func messages(_ sink: String = "slack") -> [AlertMessage] { sent.filter { $0.sink == sink }.map(\.message) }

    /// Every alert that was sent, in order: `+name` for a firing, `-name` for a recovery.
    func told(_ sink: String = "slack") -> [String] {
        messages(sink).flatMap(\.alerts).map { ($0.state == .firing ? "+" : "-") + $0.fingerprint }
    }
}
