import NIOConcurrencyHelpers

/// Hands each value to every stream that is there, none of which can hold it up: a full one loses its oldest value.
final class Broadcast<Element: Sendable>: Sendable {
    private struct State {
        var latest: Element?
        var nextID: UInt64 = 0
        var streams: [UInt64: AsyncStream<Element>.Continuation] = [:]
    }

    private let limit: Int
    private let state = NIOLockedValueBox(State())

    /// `limit` is how many values one stream keeps for its reader.
    init(limit: Int) {
        self.limit = limit
    }

    /// The values from now on; the one that holds at present comes first.
    func stream() -> AsyncStream<Element> {
        AsyncStream(bufferingPolicy: .bufferingNewest(limit)) { continuation in
            let id = state.withLockedValue { state in
                state.nextID += 1
                state.streams[state.nextID] = continuation
                if let latest = state.latest { continuation.yield(latest) }
                return state.nextID
            }
            continuation.onTermination = { _ in self.state.withLockedValue { $0.streams[id] = nil } }
        }
    }

    /// - Returns: how many values were lost.
    @discardableResult
    func send(_ element: Element) -> Int {
        let streams = state.withLockedValue { Array($0.streams.values) }
        return streams.count { if case .dropped = $0.yield(element) { true } else { false } }
    }

    /// Sends a value that holds until the next one or until `withdraw`.
    func hold(_ element: Element) {
        state.withLockedValue { $0.latest = element }
        send(element)
    }

    func withdraw() {
        state.withLockedValue { $0.latest = nil }
    }
}
