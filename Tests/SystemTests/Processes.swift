import TestKit
import Testing

/// How many tests of this module may have their processes at once: two for each core of the smallest machine that runs
/// them.
private let turns = Turns(limit: 4)

extension Trait where Self == TakingTurns {
    /// The suite starts half a dozen processes and judges how they live together.
    static var processes: Self { TakingTurns(turns) }
}
