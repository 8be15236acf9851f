import Resilience
import Runtime

/// Watching one connection that is up.
extension RedisLink {
    /// Looks at progress for so many halves of the PONG time-out while a PONG is late.
    static let lateLimit = 40
    /// A name that the server refused is asked for again after this long.
    static let refusalInterval = Duration.seconds(10)

    /// Waits for the end of a connection: closed, silent, demoted, or its subscriptions cannot be kept.
    func watch(_ connection: RedisConnection) async -> RedisError {
        await withTaskGroup(of: RedisError.self) { tasks in
            tasks.addTask { await connection.waitUntilClosed() }
            tasks.addTask { await self.ping(connection) }
            if let hub { tasks.addTask { await hub.serve(connection) { self.lastPong } } }
            let first = await tasks.next()
            connection.close(first ?? RedisError(.connectionLost, "the connection was closed"))
            tasks.cancelAll()
            // Waited for, so that no attempt begins while the old socket is still open.
            for await _ in tasks {}
            // Whoever closed it first knows why.
            return await connection.waitUntilClosed()
        }
    }

    /// PING at the interval, and now and then ROLE on the connection that may ask it.
    private func ping(_ connection: RedisConnection) async -> RedisError {
        var pings = 0
        var asked = clock.now
        while true {
            do {
                try await clock.sleep(for: settings.pingInterval)
                pings += 1
                if clock.now.since(asked) >= Self.refusalInterval {
                    asked = clock.now
                    hub?.retryRefused()
                }
                let asksRole = role == .commands && pings.isMultiple(of: settings.roleCheckPings)
                let rank = asksRole ? ask(["ROLE"], on: connection) : nil
                try await pong(connection)
                if let rank { try Self.requireMaster(await rank.value()) }
            } catch {
                return error as? RedisError ?? RedisError(.cancelled, "the connection was stopped")
            }
        }
    }

    /// Sends one PING and waits for its answer; any answer is a sign of life.
    ///
    /// A PONG behind megabytes of messages, or behind megabytes we send, is late although the connection is not silent.
    /// - Throws: `pongTimedOut` when nothing moved for half the time-out by its end, or later.
    private func pong(_ connection: RedisConnection) async throws {
        let half = settings.pongTimeout / 2
        let answer = ask(["PING"], on: connection)
        var result = await connection.wait(for: answer, atMost: half)
        var looks = 1
        while result == nil {
            try Task.checkCancellation()
            let before = await connection.progress()
            result = await connection.wait(for: answer, atMost: half)
            looks += 1
            guard result == nil else { break }
            guard looks < Self.lateLimit, await connection.progress().showsLife(since: before) else {
                throw RedisError(.pongTimedOut, "no PONG in time")
            }
        }
        switch result {
        case .success?, nil: ponged()
        case .failure(let error)? where error.reaction == .wait: waits(for: error)
        case .failure(let error)? where RedisLogin.tolerated.contains(error.code): ponged()
        case .failure(let error)? where error.code == .commandTimedOut:
            throw RedisError(.pongTimedOut, "no PONG in time")
        case .failure(let error)?: throw error
        }
    }

    /// Sent however much waits already.
    private func ask(
        _ command: [RedisArgument], on connection: RedisConnection
    ) -> Promise<Result<RESPValue, RedisError>> {
        let answer = Promise<Result<RESPValue, RedisError>>()
        let limit = settings.pongTimeout / 2 * Self.lateLimit
        connection.enqueue(command, timeout: limit, isBounded: false) { answer.fulfil($0) }
        return answer
    }

    /// A master that became a replica keeps its clients, and refuses their writes or hides what others write elsewhere
    /// (PITFALLS 5.43).
    ///
    /// Throws `readOnly`; an answer that does not tell proves nothing.
    private static func requireMaster(_ answer: Result<RESPValue, RedisError>) throws {
        guard case .success(let reply) = answer, let rank = reply.array?.first?.text, rank != "master" else { return }
        throw RedisError(.readOnly, "the server has become a \(rank)")
    }
}
