import Resilience

/// One sink: what waits for it, what is under way, and when it may be spoken to.
///
/// Legal transitions of what is under way: none `-> inFlight` (sent), `inFlight -> retrying` (failed, or refused with
/// its blocks: the same message again), `inFlight -> none` (delivered, or refused without blocks), `retrying ->
/// inFlight`.
struct SinkState: Sendable {
    var cursor = SinkCursor(sequence: 0)
    /// Sequences in order, those of the message under way included.
    var waiting: [Int64] = []
    var inFlight: AlertMessage?
    /// The message that failed; it is sent again as it is.
    var retrying: AlertMessage?
    var notBefore: MachineInstant
    var pausedUntil: MachineInstant?
    /// Kinds told since the last group: what else is critical breaks the pause.
    var toldKinds: Set<String> = []
    var hasNews = false
    var backoff = Backoff(base: .seconds(1), cap: .seconds(60), jitter: 0.2, jitterOnlyShortens: true)
    var failures = 0
    /// Since when every answer was that it is too much.
    var throttledSince: MachineInstant?
    var isReported = false
    var omitted = 0
    /// The last delivery, or the start.
    var quietSince: MachineInstant

    init(at now: MachineInstant) {
        notBefore = now
        quietSince = now
    }

    mutating func take(_ alert: Alert) {
        waiting.append(alert.sequence)
        if isNews(alert) { hasNews = true }
    }

    /// Critical, and of a kind that the last messages did not name.
    func isNews(_ alert: Alert) -> Bool {
        alert.state == .firing && alert.severity == .critical && !toldKinds.contains(alert.kind)
    }
}

extension AlertEngine {
    /// Sends what may be sent now, to each sink by itself.
    mutating func offer(at now: MachineInstant, into effects: inout [Effect]) {
        guard isEnabled else { return }
        for name in sinks.keys.sorted() {
            guard var sink = sinks[name], sink.inFlight == nil, now >= sink.notBefore else { continue }
            if let message = sink.retrying ?? next(&sink, at: now) {
                sink.retrying = nil
                sink.inFlight = message
                effects.append(.send(message, sink: name))
            }
            sinks[name] = sink
        }
    }

    /// What waits and is settled in the file, as one alert or as a group.
    private mutating func next(_ sink: inout SinkState, at now: MachineInstant) -> AlertMessage? {
        if sink.retrying == nil, let until = sink.pausedUntil, now < until, !sink.hasNews { return nil }
        skipHead(&sink)
        let ready = sink.waiting.prefix(policy.groupLimit).prefix { unsettled[$0] == nil }
            .compactMap { entries[$0]?.alert }
        guard let first = ready.first else { return nil }
        var breaksPause = false
        if let pausedUntil = sink.pausedUntil {
            breaksPause = now < pausedUntil
            if breaksPause, !ready.contains(where: sink.isNews) { return nil }
            if !breaksPause {
                sink.pausedUntil = nil
                sink.toldKinds = []
            }
        }
        let isGroup = ready.count > policy.groupThreshold || sink.omitted > 0 || breaksPause
        let alerts = isGroup ? tellable(ready, for: sink) : [first]
        guard let last = alerts.last else { return nil }
        let omitted = sink.omitted
        sink.omitted = 0
        sink.hasNews = false
        return AlertMessage(
            id: "\(source):\(first.sequence)-\(last.sequence)", alerts: alerts, omitted: omitted)
    }

    /// A recovery at the head whose firing this sink never got is not for it.
    private mutating func skipHead(_ sink: inout SinkState) {
        while let head = sink.waiting.first {
            if let alert = entries[head]?.alert {
                guard alert.state == .recovered, sink.cursor.open[alert.fingerprint] == nil else { return }
            }
            sink.waiting.removeFirst()
            sink.cursor.sequence = max(sink.cursor.sequence, head)
            release(head)
        }
    }

    /// Without recoveries of firings that this sink never gets.
    private func tellable(_ alerts: [Alert], for sink: SinkState) -> [Alert] {
        var open = Set(sink.cursor.open.keys)
        return alerts.filter { alert in
            switch alert.state {
            case .firing:
                open.insert(alert.fingerprint)
                return true
            case .recovered: return open.remove(alert.fingerprint) != nil
            }
        }
    }

    mutating func answered(
        _ name: String, _ answer: SinkAnswer, wall: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard var sink = sinks[name], let message = sink.inFlight else { return }
        sink.inFlight = nil
        var trouble: AlertError?
        switch answer {
        case .delivered:
            delivered(message, to: &sink, wall: wall, at: now)
        case .later(let error, let after):
            sink.throttledSince = error.code == .throttled ? sink.throttledSince ?? now : nil
            sink.failures += 1
            sink.retrying = message
            let wait = sink.backoff.next(using: &random)
            sink.notBefore = now.advanced(
                by: max(wait, policy.messageInterval, min(after ?? .zero, policy.retryAfterLimit)))
            let isPatient = sink.throttledSince.map { now.since($0) < policy.throttledToReport } ?? false
            if sink.failures >= policy.failuresToReport, !isPatient { trouble = error }
        case .refused(let error) where error.code == .messageRefused && !message.isTextOnly:
            sink.retrying = message
            sink.retrying?.isTextOnly = true
            sink.notBefore = now.advanced(by: policy.messageInterval)
        case .refused(let error) where error.code == .messageRefused:
            handled(message, by: &sink)
            sink.notBefore = now.advanced(by: policy.messageInterval)
            statistics.dropped += message.alerts.count
            trouble = error
        case .refused(let error):
            sink.retrying = message
            sink.notBefore = now.advanced(by: policy.refusedRetry)
            trouble = error
        }
        sinks[name] = sink
        if sink.retrying == nil { effects.append(.saveCursor(sink.cursor, sink: name)) }
        if let trouble {
            report(name, trouble, wall: wall, at: now, into: &effects)
        } else if answer == .delivered, sink.isReported {
            sinks[name]?.isReported = false
            resolve(
                Self.deliveryFingerprint(name), summary: "Alerts reach \(name) again.", wall: wall, at: now,
                into: &effects)
        }
    }

    private mutating func delivered(
        _ message: AlertMessage, to sink: inout SinkState, wall: Int64, at now: MachineInstant
    ) {
        for alert in message.alerts {
            switch alert.state {
            case .firing where alert.isLasting:
                if sink.cursor.open[alert.fingerprint] == nil {
                    sink.cursor.open[alert.fingerprint] = SinkCursor.Open(alert)
                }
            case .firing: break
            case .recovered: sink.cursor.open[alert.fingerprint] = nil
            }
        }
        closeTheOldest(&sink)
        handled(message, by: &sink)
        sink.cursor.deliveredAt = wall
        sink.failures = 0
        sink.throttledSince = nil
        sink.backoff.reset()
        sink.quietSince = now
        sink.notBefore = now.advanced(by: policy.messageInterval)
        if message.alerts.count > policy.groupThreshold || message.omitted > 0 {
            sink.pausedUntil = now.advanced(by: policy.groupInterval)
        }
        guard sink.pausedUntil != nil else { return }
        sink.toldKinds.formUnion(message.alerts.map(\.kind))
        sink.hasNews = sink.waiting.contains { entries[$0].map { sink.isNews($0.alert) } ?? false }
    }

    /// Moves the cursor behind the message; recoveries in between that were left out of it are passed as well.
    private mutating func handled(_ message: AlertMessage, by sink: inout SinkState) {
        guard let last = message.alerts.last?.sequence else { return }
        let passed = sink.waiting.prefix { $0 <= last }
        for sequence in passed { release(sequence) }
        sink.waiting.removeFirst(passed.count)
        sink.cursor.sequence = max(sink.cursor.sequence, last)
    }

    private func closeTheOldest(_ sink: inout SinkState) {
        let excess = sink.cursor.open.count - policy.causeLimit
        guard excess > 0 else { return }
        for (fingerprint, _) in sink.cursor.open.sorted(by: { ($0.value.at, $0.key) < ($1.value.at, $1.key) })
            .prefix(excess)
        {
            sink.cursor.open[fingerprint] = nil
        }
    }

    // MARK: - Trouble

    static func deliveryFingerprint(_ sink: String) -> String { "alertDeliveryFailing:\(sink)" }

    /// A sink that fails is an alert for the others.
    private mutating func report(
        _ name: String, _ error: AlertError, wall: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard sinks[name]?.isReported == false else { return }
        sinks[name]?.isReported = true
        var request = AlertRequest(
            id: "\(source)/\(Self.deliveryFingerprint(name))/\(wall)", kind: "alertDeliveryFailing",
            fingerprint: Self.deliveryFingerprint(name),
            summary: "Alerts do not reach \(name): \(error.message). What waits for it stays in the alert file.",
            detail: ["sink": name, "reason": error.code.rawValue, "waiting": "\(sinks[name]?.waiting.count ?? 0)"],
            source: source, at: wall)
        request.aboutSink = name
        fire(request, at: now, into: &effects)
    }

    /// Too many wait: the oldest of the least severity go, counted; the file has them.
    mutating func dropWaiting(of name: String) {
        guard var sink = sinks[name], sink.waiting.count > policy.waitingLimit else { return }
        let busy = Set((sink.inFlight ?? sink.retrying)?.alerts.map(\.sequence) ?? [])
        for severity in AlertSeverity.allCases {
            while sink.waiting.count > policy.waitingLimit {
                let index = sink.waiting.firstIndex {
                    !busy.contains($0) && entries[$0].map { $0.alert.severity == severity } ?? true
                }
                guard let index else { break }
                release(sink.waiting.remove(at: index))
                sink.omitted += 1
                statistics.dropped += 1
            }
        }
        sinks[name] = sink
    }

    mutating func configure(
        _ policy: AlertPolicy, _ names: [String], at now: MachineInstant, into effects: inout [Effect]
    ) {
        self.policy = policy
        for name in sinks.keys.sorted() where !names.contains(name) {
            for sequence in sinks[name]?.waiting ?? [] { release(sequence) }
            sinks[name] = nil
        }
        for name in names.sorted() {
            if sinks[name] == nil {
                sinks[name] = SinkState(at: now)
                sinks[name]?.cursor.sequence = lastSequence
                effects.append(.saveCursor(SinkCursor(sequence: lastSequence), sink: name))
            } else {
                // The address may be another one: it is tried at once.
                let soon = now.advanced(by: policy.messageInterval)
                if let due = sinks[name]?.notBefore { sinks[name]?.notBefore = min(due, soon) }
                sinks[name]?.backoff.reset()
            }
        }
    }
}
