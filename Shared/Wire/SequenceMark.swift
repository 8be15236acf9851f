/// Says on a hint channel that its publisher has lost hints, before anything newer comes or although nothing does.
///
/// Its envelope repeats the sequence of the newest lost hint instead of taking one of its own. It is read by the bus
/// itself and never handed to a subscriber: it becomes a gap, or nothing where the loss is known.
public struct SequenceMark: WireMessage, Hashable {
    public static let type = "sequence_mark"

    /// How many hints were lost since the last one that was sent.
    public let lost: Int
    /// How long before this mark was sent the newest of them was lost, in microseconds.
    public let age: Int64

    public init(lost: Int, age: Int64) {
        self.lost = lost
        self.age = age
    }

    private enum CodingKeys: String, CodingKey {
        case lost
        case age = "age_us"
    }
}
