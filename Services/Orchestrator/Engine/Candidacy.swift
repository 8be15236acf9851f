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

    /// How long a leader is deaf before it offers its place: together with how long deafness stays unseen, and the look
    /// of a standby, less than the 5 s in which a leader is followed (decision 0056).
    public static let hesitation = Duration.seconds(2)
    /// Who was deaf for longer may have been so together with others.
    public static let brief = Duration.seconds(1)

    /// Between two offers, and how long who hears again leaves a place to the others.
    public let bearing: Duration
    private var deafSince: MachineInstant?
    private var offeredAt: MachineInstant?
    /// Until then others may be about to hear again too, if none that leads is heard before.
    private var modestUntil: MachineInstant?

    /// - `life`: for how long the leadership is written at a time (`LEADERSHIP_TTL_SECS`).
    public init(life: Duration) {
        precondition(life > .zero, "a leadership must last, got \(life)")
        bearing = life * 2
    }

    /// Since when nothing of the bus is heard, nil while it is; told at least as often as anything is asked.
    public mutating func note(deafSince since: MachineInstant?, at now: MachineInstant) {
        guard since == nil else {
            deafSince = deafSince ?? since
            return
        }
        // The bus was away for all: who hears first again must not take the place from who hears a moment later.
        if let deafSince, now.since(deafSince) >= Self.brief { modestUntil = now.advanced(by: bearing) }
        deafSince = nil
        offeredAt = nil
    }

    /// One that leads was heard since we hear again: it does not need our patience.
    public mutating func leaderIsHeard() { if deafSince == nil { modestUntil = nil } }

    /// For how long the place must have been free before we take it.
    public func patience(at now: MachineInstant) -> Duration {
        deafSince != nil || modestUntil.map { now < $0 } ?? false ? Self.reserve : .zero
    }

    /// When a leader offers its place next; nil while it hears.
    public var nextOffer: MachineInstant? {
        deafSince.map { offeredAt?.advanced(by: bearing) ?? $0.advanced(by: Self.hesitation) }
    }

    /// Whether a leader offers its place now; asked again, not before another `bearing`.
    public mutating func offers(at now: MachineInstant) -> Bool {
        guard let nextOffer, now >= nextOffer else { return false }
        offeredAt = now
        return true
    }
}
