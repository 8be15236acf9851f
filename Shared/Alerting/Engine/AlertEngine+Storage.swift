import Resilience

/// What the file has, and what it has not taken yet.
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
        settle(copies: sequences, into: &effects)
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
            let lost = unwritten.removeFirst()
            release(lost)
            statistics.unwritten += 1
            settle(copies: [lost], into: &effects)
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
}
