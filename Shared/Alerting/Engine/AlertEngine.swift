import Resilience

/// Decides what is written down, who is told and when: pure, time is handed in.
///
/// Order of an alert's life: it gets its number and goes to the file (`append`); once the file has it, or could not
/// take it within `storeTimeout`, every sink gets it in its turn (`send`), one message at a time and in order; the
/// answer moves the sink's cursor (`saveCursor`). After a crash `restore` makes up the state from file and cursors, so
/// nothing that the file has is lost, and what was under way at the crash may be told twice. A life whose file cannot
/// be read begins without it (`beginUnread`), and takes over what it holds when it can.
public struct AlertEngine: Sendable {
    public enum Event: Sendable {
        /// Something is wrong, or still is.
        case fire(AlertRequest)
        /// For the file only.
        case record(AlertRequest)
        /// It is gone; nothing happens when it was not there.
        case resolve(fingerprint: String, summary: String?, at: Int64)
        /// Something that somebody else had told is gone, and nobody else tells it.
        case tellRecovery(AlertRequest, lasted: Duration)
        /// The first event of a life whose file cannot be read, at wall time `at`; `restore` follows when it can.
        case beginUnread(at: Int64)
        /// What the file and the cursors hold, at wall time `at`; the first event of any other life.
        case restore(records: [Alert], cursors: [String: SinkCursor], at: Int64)
        /// Restored causes of these kinds that were not heard of in this life are gone.
        case resolveUnconfirmed(kinds: Set<String>, at: Int64)
        case stored([Int64], at: Int64)
        case notStored([Int64], AlertError.Code)
        /// The message sent last to this sink was answered.
        case answered(sink: String, SinkAnswer, at: Int64)
        case switched(isEnabled: Bool, at: Int64)
        case configured(AlertPolicy, sinks: [String])
        case tick(at: Int64)
    }

    public enum Effect: Hashable, Sendable {
        case append([Alert])
        case send(AlertMessage, sink: String)
        case saveCursor(SinkCursor, sink: String)
    }

    /// What was counted since the start.
    public struct Statistics: Hashable, Sendable {
        public internal(set) var fired = 0
        public internal(set) var held = 0
        public internal(set) var repeatedIDs = 0
        public internal(set) var dropped = 0
        public internal(set) var forgotten = 0
        public internal(set) var unwritten = 0
    }

    struct Entry: Sendable {
        let alert: Alert
        /// The file, if it has not got it, and every sink that has not.
        var uses: Int
    }

    public internal(set) var policy: AlertPolicy
    public internal(set) var isEnabled: Bool
    public internal(set) var statistics = Statistics()
    let source: String
    var causes: [String: Cause] = [:]
    var entries: [Int64: Entry] = [:]
    var sinks: [String: SinkState] = [:]
    var lastSequence: Int64 = 0
    /// Handed to the file, not answered: since when.
    var unsettled: [Int64: MachineInstant] = [:]
    /// Not in the file; tried again.
    var unwritten: [Int64] = []
    var storeAgainAt: MachineInstant?
    var knownIDs = RecentIDs()
    var random: SeededGenerator
    var kept: [Alert] = []
    /// Set until the file could be read.
    var unread: Unread?
    /// New numbers of what earlier lives had left, until the file has them: no cursor passes them before.
    var copies: Set<Int64> = []

    /// - Parameters:
    ///   - policy: every bound.
    ///   - isEnabled: whether anything is written and told.
    ///   - source: who raises the alerts about alerting itself.
    ///   - sinks: their names.
    ///   - seed: of the jitter between attempts.
    ///   - now: the start of this life.
    public init(
        policy: AlertPolicy, isEnabled: Bool = true, source: String, sinks: [String], seed: UInt64,
        at now: MachineInstant
    ) {
        self.policy = policy
        self.isEnabled = isEnabled
        self.source = source
        random = SeededGenerator(seed: seed)
        for name in sinks { self.sinks[name] = SinkState(at: now) }
    }

    /// Fingerprints that fire now, sorted.
    public var firing: [String] { causes.filter { $0.value.isFiring }.keys.sorted() }
    var firingCount: Int { causes.values.count { $0.isFiring } }
    /// Whether the file has everything.
    var isStored: Bool { unsettled.isEmpty && unwritten.isEmpty }
    /// The newest alerts that were told, newest last, at most 100.
    public var recent: [Alert] { kept }
    /// Whether everything told has reached every sink, and the file.
    public var isIdle: Bool {
        unsettled.isEmpty && unwritten.isEmpty && sinks.values.allSatisfy { $0.waiting.isEmpty }
    }
    /// Alerts that wait for each sink.
    public var waiting: [String: Int] { sinks.mapValues(\.waiting.count) }
    /// Sinks that fail now: reported on the others.
    public var failingSinks: [String] { sinks.filter { $0.value.isReported }.keys.sorted() }

    public mutating func handle(_ event: Event, at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .fire(let request): fire(request, at: now, into: &effects)
        case .record(let request): record(request, at: now, into: &effects)
        case .resolve(let fingerprint, let summary, let wall):
            resolve(fingerprint, summary: summary, wall: wall, at: now, into: &effects)
        case .tellRecovery(let request, let lasted): tellRecovery(request, lasted, at: now, into: &effects)
        case .beginUnread(let wall): beginUnread(wall: wall, at: now, into: &effects)
        case .restore(let records, let cursors, let wall):
            restore(records, cursors, wall: wall, at: now, into: &effects)
        case .resolveUnconfirmed(let kinds, let wall):
            unread?.unconfirmed.formUnion(kinds)
            resolveUnconfirmed(kinds, wall: wall, at: now, into: &effects)
        case .stored(let sequences, let wall): stored(sequences, wall: wall, at: now, into: &effects)
        case .notStored(let sequences, let code): notStored(sequences, code, at: now, into: &effects)
        case .answered(let sink, let answer, let wall):
            answered(sink, answer, wall: wall, at: now, into: &effects)
        case .switched(let isEnabled, let wall): switchTo(isEnabled, wall: wall, at: now, into: &effects)
        case .configured(let policy, let sinks): configure(policy, sinks, at: now, into: &effects)
        case .tick(let wall): tick(wall: wall, at: now, into: &effects)
        }
        offer(at: now, into: &effects)
        if unread != nil || !copies.isEmpty {
            effects.removeAll { if case .saveCursor = $0 { true } else { false } }
        }
        return effects
    }

    /// When something is due by time alone; nil when only an event can change anything.
    public var nextDeadline: MachineInstant? {
        var due: MachineInstant?
        func note(_ instant: MachineInstant?) {
            if let instant { due = min(due ?? instant, instant) }
        }
        if isEnabled { for cause in causes.values { note(cause.dueAt(policy)) } }
        note(unsettled.values.min()?.advanced(by: policy.storeTimeout))
        note(storeAgainAt)
        for sink in sinks.values where isEnabled {
            if sink.inFlight == nil, !sink.waiting.isEmpty {
                note(max(sink.notBefore, (sink.hasNews ? nil : sink.pausedUntil) ?? sink.notBefore))
            }
            if policy.canaryInterval > .zero { note(sink.quietSince.advanced(by: policy.canaryInterval)) }
        }
        return due
    }

    // MARK: - What is wrong

    mutating func fire(_ request: AlertRequest, at now: MachineInstant, into effects: inout [Effect]) {
        guard knownIDs.insert(request.id) else {
            statistics.repeatedIDs += 1
            return
        }
        statistics.fired += 1
        let known = causes[request.fingerprint]
        var cause = known ?? Cause(latest: request, since: now, heardAt: now)
        cause.latest = request
        cause.heardAt = now
        cause.isConfirmed = true
        unread?.resolved.remove(request.fingerprint)
        let isNew = !cause.isFiring
        if isNew, request.isLasting {
            cause.isFiring = true
            if cause.owedRecovery == nil { cause.since = now }
            // Nobody was told of the recovery, so nobody needs to be told of this.
            cause.isTold = cause.owedRecovery != nil
            cause.owedRecovery = nil
        }
        defer { forgetTheOldest() }
        guard isEnabled else {
            causes[request.fingerprint] = cause
            return
        }
        let mayTell =
            isNew && request.isLasting ? cause.permitsFiring(policy, at: now) : cause.permitsRepeat(policy, at: now)
        var alert = Alert(request, state: .firing)
        if mayTell && !(isNew && cause.isTold) {
            alert.suppressed = cause.held
            cause.told(policy, at: now)
        } else {
            alert.isHeld = true
            cause.held += 1
            statistics.held += 1
        }
        causes[request.fingerprint] = cause
        append(alert, at: now, into: &effects)
    }

    private mutating func record(_ request: AlertRequest, at now: MachineInstant, into effects: inout [Effect]) {
        guard isEnabled, knownIDs.insert(request.id) else { return }
        var alert = Alert(request, state: .firing)
        alert.isHeld = true
        alert.isFileOnly = true
        append(alert, at: now, into: &effects)
    }

    mutating func resolve(
        _ fingerprint: String, summary: String?, wall: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        let fingerprint = AlertRequest.bounded(fingerprint: fingerprint)
        if let count = unread?.resolved.count, count < policy.causeLimit { unread?.resolved.insert(fingerprint) }
        guard var cause = causes[fingerprint], cause.isFiring else { return }
        let length = now.since(cause.since)
        let wasTold = cause.isTold
        cause.isFiring = false
        cause.isTold = false
        guard isEnabled else {
            if wasTold { cause.owedRecovery = length }
            causes[fingerprint] = cause
            return
        }
        recover(&cause, wasTold: wasTold, after: length, summary: summary, wall: wall, at: now, into: &effects)
        causes[fingerprint] = cause
    }

    private mutating func recover(
        _ cause: inout Cause, wasTold: Bool, after length: Duration, summary: String?, wall: Int64,
        at now: MachineInstant, into effects: inout [Effect]
    ) {
        let latest = cause.latest
        let request = AlertRequest(
            id: "\(latest.id)/recovered", kind: latest.kind, severity: latest.severity,
            fingerprint: latest.fingerprint, summary: summary ?? latest.summary, detail: latest.detail,
            source: latest.source, at: wall, isLasting: true)
        var alert = Alert(request, state: .recovered)
        alert.aboutSink = latest.aboutSink
        alert.lastedMilliseconds = length.wholeMilliseconds
        alert.suppressed = cause.held
        alert.isHeld = !wasTold
        cause.held = 0
        append(alert, at: now, into: &effects)
    }

    private mutating func tellRecovery(
        _ request: AlertRequest, _ lasted: Duration, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard knownIDs.insert(request.id), isEnabled else { return }
        for name in sinks.keys.sorted() where sinks[name]?.cursor.open[request.fingerprint] == nil {
            sinks[name]?.cursor.open[request.fingerprint] = SinkCursor.Open(request)
        }
        var alert = Alert(request, state: .recovered)
        alert.lastedMilliseconds = lasted.wholeMilliseconds
        append(alert, at: now, into: &effects)
    }

    mutating func resolveUnconfirmed(
        _ kinds: Set<String>, wall: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        for (fingerprint, cause) in causes.sorted(by: { $0.key < $1.key })
        where cause.isFiring && !cause.isConfirmed && kinds.contains(cause.latest.kind) {
            resolve(fingerprint, summary: nil, wall: wall, at: now, into: &effects)
        }
    }

    /// Gives the alert its number and hands it to the file and to the queues of the sinks, or of those in `names`.
    mutating func append(
        _ original: Alert, to names: Set<String>? = nil, at now: MachineInstant, into effects: inout [Effect]
    ) {
        var alert = original
        lastSequence += 1
        alert.sequence = lastSequence
        var uses = 1
        if !alert.isHeld {
            for name in sinks.keys.sorted() where name != alert.aboutSink && names?.contains(name) != false {
                sinks[name]?.take(alert)
                uses += 1
            }
            kept.append(alert)
            if kept.count > 100 { kept.removeFirst() }
        }
        entries[lastSequence] = Entry(alert: alert, uses: uses)
        unsettled[lastSequence] = now
        effects.append(.append([alert]))
        for name in sinks.keys.sorted() { dropWaiting(of: name) }
    }

    private mutating func switchTo(
        _ isEnabled: Bool, wall: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard isEnabled != self.isEnabled else { return }
        self.isEnabled = isEnabled
        guard isEnabled else { return }
        // What was mended and what went wrong meanwhile is told now.
        payRecoveries(wall: wall, at: now, into: &effects)
        for (fingerprint, known) in causes.sorted(by: { $0.key < $1.key }) where known.isFiring && !known.isTold {
            var cause = known
            tellHeld(&cause, wall: wall, at: now, into: &effects)
            causes[fingerprint] = cause
        }
    }

    mutating func payRecoveries(wall: Int64, at now: MachineInstant, into effects: inout [Effect]) {
        for (fingerprint, known) in causes.sorted(by: { $0.key < $1.key }) {
            guard let length = known.owedRecovery, !known.isFiring else { continue }
            var cause = known
            cause.owedRecovery = nil
            recover(&cause, wasTold: true, after: length, summary: nil, wall: wall, at: now, into: &effects)
            causes[fingerprint] = cause
        }
    }

    /// Tells again, or at last, what was held back.
    mutating func tellHeld(_ cause: inout Cause, wall: Int64, at now: MachineInstant, into effects: inout [Effect]) {
        let latest = cause.latest
        let request = AlertRequest(
            id: "\(latest.id)/\(lastSequence + 1)", kind: latest.kind, severity: latest.severity,
            fingerprint: latest.fingerprint, summary: latest.summary, detail: latest.detail, source: latest.source,
            at: wall, isLasting: latest.isLasting)
        var alert = Alert(request, state: .firing)
        alert.aboutSink = latest.aboutSink
        alert.suppressed = cause.held
        cause.told(policy, at: now)
        append(alert, at: now, into: &effects)
    }

    private mutating func tick(wall: Int64, at now: MachineInstant, into effects: inout [Effect]) {
        if isEnabled {
            let ripe = causes.filter {
                $0.value.dueAt(policy).map { $0 <= now } ?? false || $0.value.isForgettable(policy, at: now)
            }
            for (fingerprint, known) in ripe.sorted(by: { $0.key < $1.key }) {
                var cause = known
                if let due = cause.dueAt(policy), due <= now {
                    tellHeld(&cause, wall: wall, at: now, into: &effects)
                    causes[fingerprint] = cause
                } else if cause.isForgettable(policy, at: now) {
                    causes[fingerprint] = nil
                }
            }
            tellCanary(wall: wall, at: now, into: &effects)
        }
        storeAgain(at: now, into: &effects)
        // The file takes too long: the sinks wait for it no more.
        if unsettled.values.contains(where: { now.since($0) >= policy.storeTimeout }) {
            unsettled = unsettled.filter { now.since($0.value) < policy.storeTimeout }
        }
    }

    /// Nobody has heard anything for long: a message shows that the way is open (requirement 9).
    private mutating func tellCanary(wall: Int64, at now: MachineInstant, into effects: inout [Effect]) {
        let quiet = sinks.sorted { $0.key < $1.key }
            .filter { now.since($0.value.quietSince) >= policy.canaryInterval && $0.value.waiting.isEmpty }
        guard policy.canaryInterval > .zero, !quiet.isEmpty else { return }
        for (name, _) in sinks { sinks[name]?.quietSince = now }
        let request = AlertRequest(
            id: "\(source)/canary/\(wall)", kind: "alertingCanary", severity: .info, fingerprint: "alertingCanary",
            summary: "Alerting works: no other message was delivered for \(policy.canaryInterval).", source: source,
            at: wall, isLasting: false)
        append(Alert(request, state: .firing), at: now, into: &effects)
    }

    mutating func forgetTheOldest() {
        while causes.count > policy.causeLimit {
            let oldest = causes.min { left, right in
                (left.value.isFiring ? 1 : 0, left.value.heardAt, left.key)
                    < (right.value.isFiring ? 1 : 0, right.value.heardAt, right.key)
            }
            guard let oldest else { return }
            causes[oldest.key] = nil
            statistics.forgotten += 1
        }
    }
}
