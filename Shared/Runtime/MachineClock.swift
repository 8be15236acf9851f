import NIOConcurrencyHelpers
import Resilience

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The clock of one process, handed to everything that waits: the machine's, or a manual one in tests.
public struct MachineClock: Clock, Sendable {
    public typealias Instant = MachineInstant

    private enum Source: Sendable {
        case real
        case manual(ManualTime)
    }

    private let source: Source

    /// Monotonic time that also runs while the machine sleeps.
    public static let real = MachineClock(source: .real)

    /// A clock that stands still until the test advances it.
    public static func manual(_ time: ManualTime) -> MachineClock { MachineClock(source: .manual(time)) }

    public var now: MachineInstant {
        switch source {
        case .real: .monotonic
        case .manual(let time): time.now
        }
    }

    public var minimumResolution: Duration { .nanoseconds(1) }

    public func sleep(until deadline: MachineInstant, tolerance: Duration? = nil) async throws {
        switch source {
        case .real:
            let remaining = now.duration(to: deadline)
            guard remaining > .zero else { return try Task.checkCancellation() }
            // allow: the one real wait that every clock user goes through.
            try await Task.sleep(for: remaining, tolerance: tolerance, clock: .continuous)
        case .manual(let time):
            try await time.sleep(until: deadline)
        }
    }

    public func sleep(for duration: Duration) async throws {
        try await sleep(until: now.advanced(by: duration))
    }
}

extension MachineInstant {
    fileprivate static var monotonic: MachineInstant {
        var time = timespec()
        #if os(Linux)
        clock_gettime(CLOCK_BOOTTIME, &time)
        #else
        clock_gettime(CLOCK_MONOTONIC, &time)
        #endif
        return MachineInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
}

/// Time that a test moves by hand; advancing wakes every sleeper whose deadline has come, earliest first.
public final class ManualTime: Sendable {
    private struct State {
        var now: MachineInstant
        var nextID = 0
        var sleepers: [Int: (deadline: MachineInstant, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var cancelled: Set<Int> = []
        var observers: [Int: (count: Int, continuation: CheckedContinuation<Void, Never>)] = [:]
    }

    private let state: NIOLockedValueBox<State>

    public init(start: MachineInstant = .origin) {
        state = NIOLockedValueBox(State(now: start))
    }

    public var now: MachineInstant { state.withLockedValue { $0.now } }

    /// How many tasks sleep on this clock now.
    public var sleeperCount: Int { state.withLockedValue { $0.sleepers.count } }

    /// The earliest instant that wakes a sleeper.
    public var nextDeadline: MachineInstant? {
        state.withLockedValue { $0.sleepers.values.map(\.deadline).min() }
    }

    public func advance(by duration: Duration) {
        precondition(duration >= .zero, "time does not run backwards: \(duration)")
        let due = state.withLockedValue { state in
            state.now = state.now.advanced(by: duration)
            let due = state.sleepers.filter { $0.value.deadline <= state.now }
                .sorted { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }
            for (id, _) in due { state.sleepers[id] = nil }
            return due
        }
        for (_, sleeper) in due { sleeper.continuation.resume() }
    }

    /// Returns as soon as at least `count` tasks sleep on this clock, so that a test advances only when it matters.
    ///
    /// Also returns when the caller is cancelled: a test that waits in vain ends at its time limit.
    public func untilSleepers(_ count: Int) async {
        let id = state.withLockedValue { state in
            state.nextID += 1
            return state.nextID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLockedValue { state in
                    if state.sleepers.count >= count || state.cancelled.contains(id) { return true }
                    state.observers[id] = (count, continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let observer = state.withLockedValue { state in
                state.cancelled.insert(id)
                return state.observers.removeValue(forKey: id)
            }
            observer?.continuation.resume()
        }
        state.withLockedValue { _ = $0.cancelled.remove(id) }
    }

    func sleep(until deadline: MachineInstant) async throws {
        let id = state.withLockedValue { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                enter(id, deadline, continuation)
            }
        } onCancel: {
            let sleeper = state.withLockedValue { state in
                guard let sleeper = state.sleepers.removeValue(forKey: id) else {
                    state.cancelled.insert(id)
                    return nil as CheckedContinuation<Void, any Error>?
                }
                return sleeper.continuation
            }
            sleeper?.resume(throwing: CancellationError())
        }
        state.withLockedValue { _ = $0.cancelled.remove(id) }
    }

    private func enter(
        _ id: Int, _ deadline: MachineInstant, _ continuation: CheckedContinuation<Void, any Error>
    ) {
        enum Entry { case cancelled, due, sleeping([CheckedContinuation<Void, Never>]) }
        let entry: Entry = state.withLockedValue { state in
            if state.cancelled.remove(id) != nil { return .cancelled }
            if deadline <= state.now { return .due }
            state.sleepers[id] = (deadline, continuation)
            let count = state.sleepers.count
            let ready = state.observers.filter { $0.value.count <= count }
            for id in ready.keys { state.observers[id] = nil }
            return .sleeping(ready.values.map(\.continuation))
        }
        switch entry {
        case .cancelled: continuation.resume(throwing: CancellationError())
        case .due: continuation.resume()
        case .sleeping(let observers): for observer in observers { observer.resume() }
        }
    }
}
