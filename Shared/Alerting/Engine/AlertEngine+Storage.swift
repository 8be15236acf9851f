import Resilience

/// What the file has, and what a new life makes of it.
extension AlertEngine {
    mutating func stored(
        _ sequences: [Int64], wall: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        for sequence in sequences {
            unsettled[sequence] = nil
            release(sequence)
        }
        if !unwritten.isEmpty {
            let written = Set(sequences)
            unwritten.removeAll { written.contains($0) }
        }
        guard unwritten.isEmpty else { return }
        storeAgainAt = nil
        resolve(
            Self.fileFingerprint, summary: "The alert file takes alerts again.", wall: wall, at: now, into: &effects)
    }

    /// The file did not take them: the sinks get them all the same, and the file is tried again.
    mutating func notStored(
        _ sequences: [Int64], _ code: AlertError.Code, at now: MachineInstant, into effects: inout [Effect]
    ) {
        var wall: Int64 = 0
        let known = Set(unwritten)
        for sequence in sequences {
            unsettled[sequence] = nil
            wall = max(wall, entries[sequence]?.alert.at ?? 0)
            if !known.contains(sequence), entries[sequence] != nil { unwritten.append(sequence) }
        }
        storeAgainAt = now.advanced(by: policy.storeRetry)
        while unwritten.count > policy.waitingLimit {
            release(unwritten.removeFirst())
            statistics.unwritten += 1
        }
        // Once for one trouble; the record of it waits for the file as well.
        guard causes[Self.fileFingerprint]?.isFiring != true else { return }
        let summary =
            code == .diskFull
            ? "The alert file cannot be written: the disk is full. Alerts still go out, and are written later."
            : "The alert file cannot be written. Alerts still go out, and are written later."
        fire(
            AlertRequest(
                id: "\(source)/\(Self.fileFingerprint)/\(wall)", kind: "alertFileFailing",
                fingerprint: Self.fileFingerprint, summary: summary, detail: ["reason": code.rawValue],
                source: source, at: wall), at: now, into: &effects)
    }

    static var fileFingerprint: String { "alertFileFailing" }

    mutating func storeAgain(at now: MachineInstant, into effects: inout [Effect]) {
        guard let due = storeAgainAt, due <= now else { return }
        storeAgainAt = now.advanced(by: policy.storeRetry)
        let alerts = unwritten.compactMap { entries[$0]?.alert }
        if !alerts.isEmpty { effects.append(.append(alerts)) }
    }

    /// One fewer waits for it.
    mutating func release(_ sequence: Int64) {
        guard var entry = entries[sequence] else { return }
        entry.uses -= 1
        entries[sequence] = entry.uses > 0 ? entry : nil
    }

    // MARK: - A new life

    mutating func restore(
        _ records: [Alert], _ cursors: [String: SinkCursor], wall: Int64, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        precondition(lastSequence == 0 && causes.isEmpty, "restore is the first event of a life")
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
        if isEnabled { payRecoveries(wall: wall, at: now, into: &effects) }
        forgetRestored(at: now)
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
}
