import Resilience

/// Decides which alerts are told now: the first of a fingerprint, then at most one in each window, then its recovery.
///
/// Legal transitions of a fingerprint: quiet `-> firing` on the first alert, firing `-> firing` (told again only after
/// the window, with the count of those held back), firing `-> quiet` on its recovery, which is told exactly when the
/// firing was.
public struct AlertLimiter: Sendable {
    public enum Verdict: Hashable, Sendable {
        case tell(suppressed: Int)
        case tellRecovery(lasted: Duration, suppressed: Int)
        case suppress
        /// A recovery of something that never fired.
        case ignore
    }

    private struct Firing: Sendable {
        let since: MachineInstant
        var toldAt: MachineInstant
        var suppressed: Int
    }

    public let window: Duration
    private var firings: [String: Firing] = [:]

    public init(window: Duration) {
        precondition(window >= .zero, "window \(window)")
        self.window = window
    }

    /// Fingerprints that fire now, sorted.
    public var firing: [String] { firings.keys.sorted() }

    public mutating func fire(_ fingerprint: String, at now: MachineInstant) -> Verdict {
        guard var firing = firings[fingerprint] else {
            firings[fingerprint] = Firing(since: now, toldAt: now, suppressed: 0)
            return .tell(suppressed: 0)
        }
        if firing.toldAt.duration(to: now) < window {
            firing.suppressed += 1
            firings[fingerprint] = firing
            return .suppress
        }
        let suppressed = firing.suppressed
        firing.toldAt = now
        firing.suppressed = 0
        firings[fingerprint] = firing
        return .tell(suppressed: suppressed)
    }

    public mutating func recover(_ fingerprint: String, at now: MachineInstant) -> Verdict {
        guard let firing = firings.removeValue(forKey: fingerprint) else { return .ignore }
        return .tellRecovery(lasted: firing.since.duration(to: now), suppressed: firing.suppressed)
    }
}
