import Resilience
import Runtime

/// What a login found out.
struct RedisGreeting: Sendable {
    var facts = RedisServerFacts()
    /// The number of this connection at the server.
    var client: Int64?
    /// Connections of an earlier life that were closed.
    var leftovers = 0
}

/// One login: from the open socket to a server that may be used.
///
/// AUTH and SELECT come before everything; then the server is asked until it has loaded its data; then all else in one
/// go. What
/// the login may not ask, or the server does not know, is no reason to fail.
struct RedisLogin {
    /// How often a server that is loading or busy is asked again.
    static let retryInterval = Duration.milliseconds(100)

    /// Not permitted, not known, or a disk that is full, which refuses PING too: the server lives, and may be used.
    static let tolerated: Set<RedisError.Code> = [.permissionDenied, .server, .misconfigured]

    /// A connection that was replaced by this one, on which run of the server.
    struct Predecessor: Hashable, Sendable {
        let runID: String
        let client: Int64
    }

    let role: RedisLinkRole
    let connection: RedisConnection
    let endpoint: RedisEndpoint
    let identity: RedisIdentity
    let settings: RedisSettings
    let clock: MachineClock
    /// Nil when the last login did not learn its number, and for the first.
    let predecessor: Predecessor?
    let isFirst: Bool
    /// Called while the server makes us wait, each time it says so.
    let onWaiting: @Sendable (RedisError) -> Void

    /// - Throws: `RedisError`; `connectTimedOut` when the server says nothing until `deadline`.
    func run(by deadline: MachineInstant) async throws -> RedisGreeting {
        let isChosen = try await authenticate(by: deadline)
        let waited = try await waitUntilReady(by: deadline)
        // Whoever was kept waiting by a living server gets the time for the rest anew.
        let end = waited ? clock.now.advanced(by: settings.connectTimeout) : deadline
        if !isChosen { _ = try await send([select], by: end)[0].get() }
        var greeting = try await introduce(by: end)
        try greeting.facts.requireVersion()
        try await closeLeftovers(&greeting, by: end)
        return greeting
    }

    /// - Returns: whether the database is chosen; a busy server puts that off.
    private func authenticate(by deadline: MachineInstant) async throws -> Bool {
        var commands: [[RedisArgument]] = []
        if let password = endpoint.password {
            let user = endpoint.username.map { [RedisArgument.text($0)] } ?? []
            commands.append(["AUTH"] + user + [.text(password.value)])
        }
        if endpoint.database != 0 { commands.append(select) }
        do {
            for reply in try await send(commands, by: deadline) { _ = try reply.get() }
            return true
        } catch let error as RedisError where error.reaction == .wait {
            return false
        }
    }

    private var select: [RedisArgument] { ["SELECT", RedisArgument(endpoint.database)] }

    /// A PONG shows that the server has loaded its data; any other answer but "wait" shows that it lives.
    ///
    /// - Returns: whether it took more than one question.
    private func waitUntilReady(by deadline: MachineInstant) async throws -> Bool {
        var deadline = deadline
        var waited = false
        while true {
            do {
                _ = try await send([["PING"]], by: deadline)[0].get()
                return waited
            } catch let error as RedisError where error.reaction == .wait {
                waited = true
                onWaiting(error)
                try await clock.sleep(for: Self.retryInterval)
                deadline = clock.now.advanced(by: max(settings.pongTimeout, settings.connectTimeout))
            } catch let error as RedisError where Self.tolerated.contains(error.code) {
                return waited
            }
        }
    }

    private func introduce(by deadline: MachineInstant) async throws -> RedisGreeting {
        var commands: [[RedisArgument]] = [
            ["ROLE"], ["INFO", "server"], ["INFO", "stats"], ["CLIENT", "ID"],
            ["CLIENT", "SETNAME", .text(identity.clientName(role))],
        ]
        if role == .commands { commands.append(["CONFIG", "GET", "client-output-buffer-limit"]) }
        let replies = try await send(commands, by: deadline)
        let rank = try optional(replies[0])?.array?.first?.text
        if let rank, rank != "master" { throw RedisError(.readOnly, "the server is a \(rank), not a master") }
        var greeting = RedisGreeting()
        for reply in replies[1...2] {
            if let text = try optional(reply)?.text { greeting.facts.read(info: text) }
        }
        greeting.client = try optional(replies[3])?.integer
        _ = try optional(replies[4])
        if role == .commands, let pair = try optional(replies[5])?.array, pair.count == 2, let text = pair[1].text {
            greeting.facts.pubsubLimit = OutputBufferLimit(setting: text)
        }
        return greeting
    }

    /// A connection that was half-open may live on at the server, which would feed it and carry out what it still
    /// holds (PITFALLS 5.6); a process that crashed leaves two (PITFALLS 5.50).
    private func closeLeftovers(_ greeting: inout RedisGreeting, by deadline: MachineInstant) async throws {
        var ids: [Int64] = []
        // Another run gives the same numbers to others.
        if let predecessor, !predecessor.runID.isEmpty, predecessor.runID == greeting.facts.runID {
            ids.append(predecessor.client)
        }
        var leftovers = 0
        // Once only: two processes that claim to be the same would cut each other off for ever.
        if isFirst, role == .commands, identity.incarnation != nil {
            let list = try optional(try await send([["CLIENT", "LIST"]], by: deadline)[0])?.text ?? ""
            let found = identity.leftovers(in: list)
            leftovers = found.count
            ids += found
        }
        guard !ids.isEmpty else { return }
        let kills = try await send(ids.map { ["CLIENT", "KILL", "ID", .integer($0)] }, by: deadline)
        let killed = try kills.map { try optional($0)?.integer == 1 }
        greeting.leftovers = killed.suffix(leftovers).count { $0 }
    }

    private func send(_ commands: [[RedisArgument]], by deadline: MachineInstant) async throws
        -> [Result<RESPValue, RedisError>]
    {
        let late = RedisError(.connectTimedOut, "no login in time")
        let left = clock.now.duration(to: deadline)
        guard left > .zero else { throw late }
        return await connection.send(all: commands, timeout: left).map { result in
            result.mapError { $0.code == .commandTimedOut ? late : $0 }
        }
    }

    /// Nil for what the server refuses or does not know.
    private func optional(_ reply: Result<RESPValue, RedisError>) throws(RedisError) -> RESPValue? {
        do {
            return try reply.get()
        } catch  where Self.tolerated.contains(error.code) {
            return nil
        }
    }
}
