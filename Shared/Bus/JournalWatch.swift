import NIOConcurrencyHelpers
import Redis

/// The server holds other data than before.
struct JournalChange: Hashable, Sendable {
    let from: JournalIdentity
    let to: JournalIdentity

    /// Whether it went on running meanwhile: a FLUSHALL, not a restart.
    var isSameServer: Bool { from.runID == to.runID }
}

/// Knows which data the server holds, and tells when it begins anew.
///
/// A mark in the data itself (`journal:data`, set by whoever finds it missing) tells FLUSHALL and an empty restart; the
/// run id tells a restart that may have lost the last second.
final class JournalWatch: Sendable {
    private struct State {
        var current: JournalIdentity?
        var asked: UInt64 = 0
        var applied: UInt64 = 0
        var listeners: [UInt64: @Sendable (JournalChange) -> Void] = [:]
        var nextListener: UInt64 = 0
    }

    private let client: RedisClient
    private let incarnation: String
    private let state = NIOLockedValueBox(State())

    init(client: RedisClient, incarnation: String) {
        self.client = client
        self.incarnation = incarnation
    }

    /// As of the last answer.
    var current: JournalIdentity? { state.withLockedValue { $0.current } }

    /// Calls `body` after each change, never for the first identity; it must not block.
    func onChange(_ body: @escaping @Sendable (JournalChange) -> Void) -> UInt64 {
        state.withLockedValue { state in
            let id = state.nextListener
            state.nextListener += 1
            state.listeners[id] = body
            return id
        }
    }

    func removeListener(_ id: UInt64) {
        state.withLockedValue { $0.listeners[id] = nil }
    }

    /// Asks the server.
    @discardableResult
    func check() async throws -> JournalIdentity {
        guard let server = client.server else { throw RedisError(.notConnected, "there is no connection") }
        let (ticket, dataID) = try await ask(server)
        let found = JournalIdentity(runID: server.runID, dataID: dataID)
        let news = state.withLockedValue { state -> (JournalChange, [@Sendable (JournalChange) -> Void])? in
            // Answers come in the order of the questions; their readers may not.
            guard ticket > state.applied else { return nil }
            state.applied = ticket
            defer { state.current = found }
            guard let before = state.current, before != found else { return nil }
            return (JournalChange(from: before, to: found), Array(state.listeners.values))
        }
        if let (change, listeners) = news { for listener in listeners { listener(change) } }
        return found
    }

    private func ask(_ server: RedisServer) async throws -> (ticket: UInt64, dataID: String) {
        let asked = NIOLockedValueBox<(UInt64, String)>((0, ""))
        let reply = try await withCheckedThrowingContinuation { (done: CheckedContinuation<RESPValue, any Error>) in
            state.withLockedValue { state in
                state.asked += 1
                let mark = "\(incarnation):\(state.asked)"
                asked.withLockedValue { $0 = (state.asked, mark) }
                client.enqueue(["SET", .text(JournalScript.dataKey), .text(mark), "NX", "GET"], on: server) { result in
                    done.resume(with: result.mapError { $0 as any Error })
                }
            }
        }
        let (ticket, mark) = asked.withLockedValue { $0 }
        // Nothing there before: the mark is ours.
        return (ticket, reply.text ?? mark)
    }
}
