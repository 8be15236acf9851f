import Domain

/// Where venue time comes from, and where it goes when a venue tells it.
///
/// Live it is the wall clock with the measured offset; in a replay it is the largest instant that the simulator has
/// shown, which is why everything that carries one is handed to `observe` (DESIGN rule 12).
public struct VenueTime: Sendable {
    private let read: @Sendable () -> VenueInstant
    private let note: @Sendable (VenueInstant) -> Void

    public init(
        now: @escaping @Sendable () -> VenueInstant, observe: @escaping @Sendable (VenueInstant) -> Void = { _ in }
    ) {
        read = now
        note = observe
    }

    public var now: VenueInstant { read() }

    public func observe(_ instant: VenueInstant) { note(instant) }
}
