import Resilience

/// What a new life makes of the file and the cursors, at once or when they can be read.
extension AlertEngine {
    /// What was said while the file could not be read, and may be about what it holds.
    struct Unread: Sendable {
        var resolved: Set<String> = []
        var unconfirmed: Set<String> = []
    }

    mutating func restore(
        _ records: [Alert], _ cursors: [String: SinkCursor], wall: Int64, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        if unread != nil {
            join(records, cursors, wall: wall, at: now, into: &effects)
        } else {
            precondition(lastSequence == 0 && causes.isEmpty, "restore is the first event of a life")
            rebuild(records, cursors, wall: wall, at: now, into: &effects)
        }
        if isEnabled { payRecoveries(wall: wall, at: now, into: &effects) }
        forgetRestored(at: now)
    }

    /// The state that file and cursors hold.
    private mutating func rebuild(
        _ records: [Alert], _ cursors: [String: SinkCursor], wall: Int64, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        func instant(_ at: Int64) -> MachineInstant {
            // Wall time may have been set back in between: nothing lies in the future.
            now.advanced(by: .zero - .microseconds(max(0, wall - at)))
        }
        lastSequence = max(records.map(\.sequence).max() ?? 0, cursors.values.map(\.sequence).max() ?? 0)
        for cursor in cursors.sorted(by: { $0.key < $1.key }).map(\.value) {
            for (fingerprint, open) in cursor.open.sorted(by: { $0.key < $1.key }) {
                reopen(fingerprint, open, at: instant(open.at))
            }
        }
        let records = records.sorted { $0.sequence < $1.sequence }
        for record in records {
            _ = knownIDs.insert(record.id)
            if record.isFileOnly != true { replay(record, at: instant(record.at)) }
            if !record.isHeld {
                kept.append(record)
                if kept.count > 100 { kept.removeFirst() }
            }
        }
        for name in sinks.keys.sorted() { resume(name, records, cursors[name], instant: instant, into: &effects) }
    }

    private mutating func reopen(_ fingerprint: String, _ open: SinkCursor.Open, at since: MachineInstant) {
        let request = AlertRequest(
            id: "\(fingerprint)/restored/\(open.at)", kind: open.kind, severity: open.severity,
            fingerprint: fingerprint, summary: open.kind, source: open.source, at: open.at)
        var cause = causes[fingerprint] ?? Cause(latest: request, since: since, heardAt: since)
        cause.isFiring = true
        cause.isTold = true
        cause.isConfirmed = false
        causes[fingerprint] = cause
    }

    private mutating func replay(_ record: Alert, at instant: MachineInstant) {
        let request = AlertRequest(
            id: record.id, kind: record.kind, severity: record.severity, fingerprint: record.fingerprint,
            summary: record.summary, detail: record.detail, source: record.source, at: record.at,
            isLasting: record.isLasting)
        var cause = causes[record.fingerprint] ?? Cause(latest: request, since: instant, heardAt: instant)
        cause.heardAt = instant
        cause.isConfirmed = false
        switch record.state {
        case .recovered:
            // A recovery that was held ends a firing that was not told. Was it told, as far as the file knows, then the
            // record of its own recovery was lost with a full disk.
            cause.owedRecovery = record.isHeld && cause.isTold ? cause.since.duration(to: instant) : nil
            cause.isFiring = false
            cause.isTold = false
            cause.held = 0
        case .firing:
            cause.latest = request
            cause.latest.aboutSink = record.aboutSink
            if record.isLasting, !cause.isFiring {
                cause.isFiring = true
                cause.isTold = cause.owedRecovery != nil
                if !cause.isTold { cause.since = instant }
                cause.owedRecovery = nil
            }
            if record.isHeld { cause.held += 1 } else { cause.told(policy, at: instant) }
        }
        causes[record.fingerprint] = cause
    }

    /// A sink without a cursor begins with what comes; a cursor of its own is written before anything else is.
    private mutating func resume(
        _ name: String, _ records: [Alert], _ cursor: SinkCursor?, instant: (Int64) -> MachineInstant,
        into effects: inout [Effect]
    ) {
        guard let cursor else {
            let fresh = SinkCursor(sequence: lastSequence)
            sinks[name]?.cursor = fresh
            return effects.append(.saveCursor(fresh, sink: name))
        }
        sinks[name]?.cursor = cursor
        if let deliveredAt = cursor.deliveredAt { sinks[name]?.quietSince = instant(deliveredAt) }
        sinks[name]?.isReported = causes[Self.deliveryFingerprint(name)]?.isFiring ?? false
        for record in records where record.sequence > cursor.sequence && !record.isHeld && record.aboutSink != name {
            sinks[name]?.waiting.append(record.sequence)
            let uses = entries[record.sequence]?.uses ?? 0
            entries[record.sequence] = Entry(alert: record, uses: uses + 1)
        }
        dropWaiting(of: name)
    }

    private mutating func forgetRestored(at now: MachineInstant) {
        for (fingerprint, cause) in causes where cause.isForgettable(policy, at: now) { causes[fingerprint] = nil }
    }

    // MARK: - A life that began without its file

    /// The file does not answer, or not well: nobody waits for it any longer, and somebody is told.
    ///
    /// Numbers begin at the wall time, far beyond those of earlier lives, which are not known. No cursor is saved: the
    /// old ones say what the sinks have not got.
    mutating func beginUnread(wall: Int64, at now: MachineInstant, into effects: inout [Effect]) {
        precondition(lastSequence == 0 && causes.isEmpty, "a life begins once")
        unread = Unread()
        lastSequence = max(1, wall)
        for name in sinks.keys { sinks[name]?.cursor.sequence = lastSequence }
        fire(
            AlertRequest(
                id: "\(source)/\(Self.fileFingerprint)/\(wall)", kind: "alertFileFailing",
                fingerprint: Self.fileFingerprint,
                summary: "The alert file cannot be read. Alerts still go out, and are written later; "
                    + "what earlier lives left to tell is told when it can be read.",
                detail: ["reason": AlertError.Code.file.rawValue], source: source, at: wall), at: now, into: &effects)
    }

    /// The file was read at last, and holds nothing of this life: what earlier lives left joins it.
    private mutating func join(
        _ records: [Alert], _ cursors: [String: SinkCursor], wall: Int64, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        var earlier = AlertEngine(
            policy: policy, isEnabled: isEnabled, source: source, sinks: sinks.keys.sorted(), seed: 0, at: now)
        var ignored: [Effect] = []
        earlier.rebuild(records, cursors, wall: wall, at: now, into: &ignored)
        let resolved = unread?.resolved ?? []
        let kinds = unread?.unconfirmed ?? []
        unread = nil
        lastSequence = max(lastSequence, earlier.lastSequence)
        statistics.dropped += earlier.statistics.dropped
        for record in records { _ = knownIDs.insert(record.id) }
        let (own, recent) = (causes, kept)
        for (fingerprint, old) in earlier.causes {
            causes[fingerprint] = own[fingerprint].map { $0.joined(to: old, policy) } ?? old
        }
        forgetTheOldest()
        // What this life has told goes to the file before what it tells for others.
        storeAgainAt = unwritten.isEmpty ? storeAgainAt : now
        storeAgain(at: now, into: &effects)
        let ended = tellAgain(earlier, records, at: now, into: &effects)
        kept = Array((earlier.kept + recent).suffix(100))
        for fingerprint in ended.sorted() {
            // The last word on what fires is that it fires.
            guard var cause = causes[fingerprint], cause.isFiring, cause.isTold, cause.isConfirmed else { continue }
            tellHeld(&cause, wall: wall, at: now, into: &effects)
            causes[fingerprint] = cause
        }
        for fingerprint in resolved.sorted() where causes[fingerprint]?.isConfirmed == false {
            resolve(fingerprint, summary: nil, wall: wall, at: now, into: &effects)
        }
        resolveUnconfirmed(kinds, wall: wall, at: now, into: &effects)
        if copies.isEmpty { saveCursors(into: &effects) }
    }

    /// Gives what a sink has not got from earlier lives a number of this one; returns whose recoveries were among it.
    private mutating func tellAgain(
        _ earlier: AlertEngine, _ records: [Alert], at now: MachineInstant, into effects: inout [Effect]
    ) -> Set<String> {
        var lacking: [Int64: Set<String>] = [:]
        for (name, old) in earlier.sinks {
            sinks[name]?.cursor.open.merge(old.cursor.open) { own, _ in own }
            sinks[name]?.omitted += old.omitted
            sinks[name]?.isReported = causes[Self.deliveryFingerprint(name)]?.isFiring ?? false
            for sequence in old.waiting { lacking[sequence, default: []].insert(name) }
        }
        var ended: Set<String> = []
        for record in records.sorted(by: { $0.sequence < $1.sequence }) {
            guard let names = lacking[record.sequence] else { continue }
            append(record, to: names, at: now, into: &effects)
            copies.insert(lastSequence)
            if record.state == .recovered { ended.insert(record.fingerprint) }
        }
        return ended
    }

    /// A cursor must not pass what the file has under an old number only.
    mutating func settle(copies sequences: [Int64], into effects: inout [Effect]) {
        guard !copies.isEmpty else { return }
        copies.subtract(sequences)
        if copies.isEmpty { saveCursors(into: &effects) }
    }

    private func saveCursors(into effects: inout [Effect]) {
        for (name, sink) in sinks.sorted(by: { $0.key < $1.key }) {
            effects.append(.saveCursor(sink.cursor, sink: name))
        }
    }
}
