import NIOConcurrencyHelpers
import Resilience

/// Which kills are still to be made, and how many were made at each point.
///
/// A point that is armed waits until the write comes by; a few times it lets it pass, so that a kill does not always
/// hit the first order of a life. Legal steps of a point: `waiting -> armed -> hit`.
public final class KillPlan: Sendable {
    private struct State {
        var waiting: [KillPoint]
        /// How often each lets its write pass.
        var armed: [KillPoint: Int] = [:]
        var hits: [KillPoint: Int] = [:]
        var generator: SeededGenerator
        /// Nobody is killed twice.
        var isDying = false
    }

    private let state: NIOLockedValueBox<State>

    /// Every point of `points` once, in an order of chance.
    public init(_ points: [KillPoint], seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let waiting = points.shuffled(using: &generator)
        state = NIOLockedValueBox(State(waiting: waiting, generator: generator))
    }

    public var hits: [KillPoint: Int] { state.withLockedValue { $0.hits } }
    public var made: Int { state.withLockedValue { $0.hits.values.reduce(0, +) } }
    public var isWaiting: Bool { state.withLockedValue { !$0.waiting.isEmpty } }
    public var isDone: Bool { state.withLockedValue { $0.waiting.isEmpty && $0.armed.isEmpty } }
    /// What has been armed and did not come by yet, by name.
    public var missing: [String] {
        state.withLockedValue { ($0.waiting + $0.armed.keys).map(\.description).sorted() }
    }
    /// Whether a cancel is to be hit: cancels come only when they are asked for.
    public var wantsCancel: Bool {
        state.withLockedValue { state in state.armed.keys.contains { $0.write == .cancel } }
    }

    /// Lets the next point wait for its write; nothing when all were armed.
    public func arm() {
        state.withLockedValue { state in
            guard let next = state.waiting.popLast() else { return }
            let isRare = [.cancel, .absentCommit, .unwindCommit].contains(next.write)
            state.armed[next, default: 0] += isRare ? 0 : Int.random(in: 0...3, using: &state.generator)
        }
    }

    /// A new life begins, which may be killed.
    public func born() { state.withLockedValue { $0.isDying = false } }

    /// Whether the process must die at this write, and when.
    func judge(_ write: Write) -> KillMoment? {
        state.withLockedValue { state in
            guard !state.isDying else { return nil }
            for moment in KillMoment.allCases {
                let point = KillPoint(write, moment)
                guard let left = state.armed[point] else { continue }
                if left > 0 {
                    state.armed[point] = left - 1
                    continue
                }
                state.armed[point] = nil
                state.hits[point, default: 0] += 1
                state.isDying = true
                return moment
            }
            return nil
        }
    }
}
