import Resilience

/// Lets one confirmation of all books pass in a while.
///
/// A feed confirms its books with every frame, and each confirmation looks at every market of the shard: a thousand
/// frames a second would be a thousand looks at all games. What is left out makes books look older by the interval at
/// most, which is a hundredth of the shortest age that they may have, and never younger.
public struct ConfirmationPace: Sendable {
    public static let interval = Duration.milliseconds(100)

    private var last: MachineInstant?

    public init() {}

    /// Takes confirmations out that come too soon after the last one that passed.
    public mutating func thin(_ events: inout [ShardEvent], at now: MachineInstant) {
        guard events.contains(where: \.isConfirmation) else { return }
        if let last, now.since(last) < Self.interval {
            events.removeAll(where: \.isConfirmation)
        } else {
            last = now
        }
    }
}

extension ShardEvent {
    fileprivate var isConfirmation: Bool { if case .booksConfirmed = self { true } else { false } }
}
