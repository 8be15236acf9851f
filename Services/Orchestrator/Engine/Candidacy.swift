import Resilience

/// Whether one who cannot hear should lead: pure, time is handed in.
///
/// Without the bus a leader judges nobody and reaches nobody, so it makes room for one that hears. With none there that
/// does, somebody leads all the same, and tells that the bus is away. So a deaf leader lets its place be taken for a
/// moment, again and again, and goes on under the same term when nobody did; who hears takes the place at once, who is
/// deaf leaves it to the others first.
public struct Candidacy: Sendable {
    /// How long an offered place stays free: two looks of a standby, and the way to the database.
    public static let offer = Duration.milliseconds(1_500)
    /// How much longer than usual a place must have been free before one who is deaf takes it.
    public static let reserve = Duration.seconds(3)

    /// How long a leader is deaf before it offers its place, and between two offers.
    public let bearing: Duration
    private var deafSince: MachineInstant?
    private var offeredAt: MachineInstant?
    /// Until then others may be about to hear again too.
    private var modestUntil: MachineInstant?

    /// - `life`: for how long the leadership is written at a time (`LEADERSHIP_TTL_SECS`).
    public init(life: Duration) {
        precondition(life > .zero, "a leadership must last, got \(life)")
        bearing = life * 2
    }

    /// Whether what is said on the bus is heard now; told at least as often as anything is asked.
    public mutating func note(hears: Bool, at now: MachineInstant) {
        guard hears else {
            deafSince = deafSince ?? now
            return
        }
        // The bus was away for all: who hears first again must not take the place from who hears a moment later.
        if let deafSince, now.since(deafSince) >= bearing { modestUntil = now.advanced(by: bearing) }
        deafSince = nil
        offeredAt = nil
    }

    /// For how long the place must have been free before we take it.
    public func patience(at now: MachineInstant) -> Duration {
        deafSince != nil || modestUntil.map { now < $0 } ?? false ? Self.reserve : .zero
    }

    /// Whether a leader offers its place now; asked again, not before another `bearing`.
    public mutating func offers(at now: MachineInstant) -> Bool {
        guard let deafSince, now.since(offeredAt ?? deafSince) >= bearing else { return false }
        offeredAt = now
        return true
    }
}
