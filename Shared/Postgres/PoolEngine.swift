import Resilience

/// Who gets which connection, in the order of asking; when sessions are opened, probed and closed.
///
/// Pure: it knows connections and waiters by their numbers, and the time and the chance that it is handed.
struct PoolEngine: Sendable {
    enum Effect: Hashable {
        /// Open a session under this number, and report `opened` or `openingFailed`.
        case open(Int)
        case close(Int)
        /// The waiter has the connection; one that has been idle for long is to be asked something first.
        case lend(Int, to: Int, mustValidate: Bool)
        case fail(Int, Refusal)
        /// Lent to the pool itself: ask it something, and give it back.
        case probe(Int)
        /// Somebody has held it for longer than the report's limit.
        case reportLeak(Int)
    }

    /// Why a waiter gets no connection.
    enum Refusal: Hashable {
        case closed
        case timedOut(after: Duration)
        /// The breaker is open.
        case unavailable
        /// The server has refused the login for good.
        case permanent
    }

    enum Answer: Hashable {
        case lent(Int, mustValidate: Bool)
        case waits
        case refused(Refusal)
    }

    /// Who asks: a transaction's name, or the statement that stands for itself.
    enum Holder: Sendable {
        case named(String)
        case statement(SQL)

        var text: String {
            switch self {
            case .named(let name): name
            case .statement(let sql): sql.summary
            }
        }
    }

    /// Sessions being opened at once: a burst of callers is no burst of logins.
    static let attemptsAtOnce = 4

    struct Lease: Sendable {
        var holder: Holder
        var since: MachineInstant
        var isReported = false
        fileprivate var session: Session
    }

    fileprivate struct Session: Sendable {
        let id: Int
        let expiresAt: MachineInstant
        /// Since when nobody has wanted it.
        var idleSince: MachineInstant
        /// When it last answered.
        var answeredAt: MachineInstant
    }

    private struct Waiter: Sendable {
        var id: Int
        var since: MachineInstant
        var deadline: MachineInstant
        var holder: Holder
    }

    private let settings: PostgresSettings
    /// The one that was given back last is last, and the next to be lent: so a burst's surplus becomes idle.
    private var idle: [Session] = []
    private(set) var leases = Numbered<Lease>()
    private var waiters = Queue<Waiter>()
    private(set) var opening = 0
    private var backoff: Backoff
    private(set) var breaker: CircuitBreaker
    private var nextAttempt: MachineInstant
    private(set) var lastFailure: PostgresError?
    private var nextID = 0
    private(set) var isClosing = false
    private var keepsMinimum = false
    /// When something will have to be done although nobody asks.
    private(set) var nextWake: MachineInstant?
    /// Longest time that anybody waited for a connection.
    private(set) var longestWait = Duration.zero

    init(_ settings: PostgresSettings, at now: MachineInstant) {
        self.settings = settings
        backoff = Backoff(base: settings.connectBackoffBase, cap: settings.connectBackoffCap, jitter: 0.2)
        breaker = CircuitBreaker(failureThreshold: settings.breakerFailures, cooldown: settings.breakerCooldown)
        nextAttempt = now
    }

    var idleCount: Int { idle.count }
    var waitingCount: Int { waiters.count }
    private var size: Int { idle.count + leases.count }

    // MARK: Lending

    /// Asks for a connection; who waits is answered by an effect, latest at `deadline`.
    ///
    /// `isAgain` is for who was lent one that turned out to be dead: it does not queue behind those who came later.
    mutating func ask(
        _ id: Int, _ holder: Holder, timeout: Duration, isAgain: Bool = false, at now: MachineInstant
    ) -> (answer: Answer, effects: [Effect]) {
        if isClosing { return (.refused(.closed), []) }
        var effects: [Effect] = []
        while waiters.isEmpty || isAgain, let session = idle.popLast() {
            guard now < session.expiresAt else {
                effects.append(.close(session.id))
                continue
            }
            leases[session.id] = Lease(holder: holder, since: now, session: session)
            return (.lent(session.id, mustValidate: isDoubtful(session, at: now)), effects)
        }
        if leases.isEmpty, breaker.state == .open, breaker.wait(at: now) > .zero {
            return (.refused(.unavailable), effects)
        }
        let waiter = Waiter(id: id, since: now, deadline: now.advanced(by: timeout), holder: holder)
        if isAgain { waiters.prepend(waiter) } else { waiters.append(waiter) }
        wake(at: waiter.deadline)
        return (.waits, effects + serve(at: now))
    }

    /// Lends the connection that was given back last, unless somebody waits or it is in doubt.
    mutating func lendAtOnce(_ holder: Holder, at now: MachineInstant) -> Int? {
        guard waiters.isEmpty, !isClosing, let session = idle.last, now < session.expiresAt,
            !isDoubtful(session, at: now)
        else { return nil }
        idle.removeLast()
        leases[session.id] = Lease(holder: holder, since: now, session: session)
        return session.id
    }

    /// The waiter has given up.
    mutating func leave(_ waiter: Int) {
        waiters.remove { $0.id == waiter }
    }

    /// Takes a connection back; it is kept when nothing is open on it and its time is not up.
    mutating func giveBack(_ id: Int, isSound: Bool, answered: Bool = true, at now: MachineInstant) -> [Effect] {
        guard var session = leases.removeValue(forKey: id)?.session else { return [] }
        guard isSound, !isClosing, now < session.expiresAt else { return [.close(id)] + serve(at: now) }
        session.idleSince = now
        if answered { session.answeredAt = now }
        idle.append(session)
        return waiters.isEmpty ? [] : serve(at: now)
    }

    /// An idle connection has ended by itself.
    mutating func ended(_ id: Int, at now: MachineInstant) -> [Effect] {
        guard let index = idle.firstIndex(where: { $0.id == id }) else { return [] }
        idle.remove(at: index)
        return [.close(id)] + serve(at: now)
    }

    /// A lent connection did not answer: what has been silent for as long is no better.
    mutating func doubted(_ id: Int, at now: MachineInstant) -> [Effect] {
        guard let silent = leases[id]?.session.answeredAt else { return [] }
        let doubtful = idle.filter { $0.answeredAt <= silent }
        idle.removeAll { $0.answeredAt <= silent }
        return doubtful.map { .close($0.id) }
    }

    private func isDoubtful(_ session: Session, at now: MachineInstant) -> Bool {
        now.since(session.answeredAt) >= settings.validateAfterIdle
    }

    /// Gives idle connections to waiters, in the order of asking, and opens what is missing.
    private mutating func serve(at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        while !waiters.isEmpty, let session = idle.popLast() {
            guard now < session.expiresAt else {
                effects.append(.close(session.id))
                continue
            }
            guard let waiter = waiters.popFirst() else { break }
            longestWait = max(longestWait, now.since(waiter.since))
            leases[session.id] = Lease(holder: waiter.holder, since: now, session: session)
            effects.append(.lend(session.id, to: waiter.id, mustValidate: isDoubtful(session, at: now)))
        }
        if isClosing { return effects }
        let missing = max(waiters.count, keepsMinimum ? settings.minConnections - size : 0) - opening
        // While the server is failing, one attempt at a time finds out.
        let room = (lastFailure == nil ? Self.attemptsAtOnce : 1) - opening
        for _ in 0..<max(0, min(missing, room, settings.maxConnections - size - opening)) {
            guard now >= nextAttempt, breaker.permits(at: now) else {
                // The shortest wait keeps a half-open breaker, which tells no time, from being asked in a circle.
                wake(at: max(nextAttempt, now.advanced(by: max(breaker.wait(at: now), .milliseconds(10)))))
                break
            }
            opening += 1
            nextID += 1
            effects.append(.open(nextID))
        }
        return effects
    }

    private mutating func wake(at instant: MachineInstant) {
        nextWake = nextWake.map { min($0, instant) } ?? instant
    }

    // MARK: Opening

    mutating func opened(_ id: Int, expiresAt: MachineInstant, at now: MachineInstant) -> [Effect] {
        opening -= 1
        breaker.succeed(at: now)
        backoff.reset()
        lastFailure = nil
        if isClosing { return [.close(id)] }
        idle.append(Session(id: id, expiresAt: expiresAt, idleSince: now, answeredAt: now))
        return serve(at: now)
    }

    mutating func openingFailed(
        _ error: PostgresError, at now: MachineInstant, using random: inout some RandomNumberGenerator
    ) -> [Effect] {
        opening -= 1
        breaker.fail(at: now)
        lastFailure = error
        nextAttempt = now.advanced(by: backoff.next(using: &random))
        var effects: [Effect] = []
        if error.code == .permanent {
            effects = failAll(.permanent)
        } else if breaker.state == .open, leases.isEmpty {
            effects = failAll(.unavailable)
        }
        return effects + serve(at: now)
    }

    private mutating func failAll(_ refusal: Refusal) -> [Effect] {
        var effects: [Effect] = []
        while let waiter = waiters.popFirst() { effects.append(.fail(waiter.id, refusal)) }
        return effects
    }

    // MARK: Time

    /// Fails who has waited too long, and tries again what had to wait.
    mutating func timeHasCome(at now: MachineInstant) -> [Effect] {
        nextWake = nil
        var effects: [Effect] = []
        waiters.remove { waiter in
            guard waiter.deadline <= now else { return false }
            effects.append(.fail(waiter.id, .timedOut(after: now.since(waiter.since))))
            return true
        }
        if let next = waiters.elements.map(\.deadline).min() { wake(at: next) }
        return effects + serve(at: now)
    }

    mutating func keepMinimum(_ keeps: Bool, at now: MachineInstant) -> [Effect] {
        keepsMinimum = keeps
        return serve(at: now)
    }

    /// Closes what is idle for too long or has lived long enough, probes what has been silent, reports who holds for
    /// too long, and tops up to the minimum.
    mutating func maintain(at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        var spare = size - settings.minConnections
        var kept: [Session] = []
        // The front has been idle longest.
        for session in idle {
            if now >= session.expiresAt || (spare > 0 && now.since(session.idleSince) >= settings.idleTimeout) {
                spare -= 1
                effects.append(.close(session.id))
            } else if now.since(session.answeredAt) >= settings.keepAlive {
                leases[session.id] = Lease(holder: .named("keep-alive probe"), since: now, session: session)
                effects.append(.probe(session.id))
            } else {
                kept.append(session)
            }
        }
        idle = kept
        for (id, lease) in leases.sorted(by: { $0.key < $1.key }) {
            guard !lease.isReported, now.since(lease.since) >= settings.leakReport else { continue }
            leases[id]?.isReported = true
            effects.append(.reportLeak(id))
        }
        return effects + serve(at: now)
    }

    /// A probe has ended; unlike a lease it does not make the connection less idle.
    mutating func probed(_ id: Int, isSound: Bool, at now: MachineInstant) -> [Effect] {
        guard let idleSince = leases[id]?.session.idleSince else { return [] }
        let effects = giveBack(id, isSound: isSound, at: now)
        if let index = idle.firstIndex(where: { $0.id == id }) {
            idle[index].idleSince = idleSince
            // Back to its place: the front is idle longest.
            idle.sort { ($0.idleSince, $0.id) < ($1.idleSince, $1.id) }
        }
        return effects
    }

    /// No more leases: waiters fail, idle connections close; lent ones close when given back.
    mutating func close() -> [Effect] {
        isClosing = true
        keepsMinimum = false
        nextWake = nil
        defer { idle = [] }
        return failAll(.closed) + idle.map { .close($0.id) }
    }
}

/// First in, first out, with a way to leave early.
private struct Queue<Element: Sendable>: Sendable {
    private var items: [Element] = []
    private var head = 0

    var isEmpty: Bool { head == items.count }
    var count: Int { items.count - head }
    var elements: ArraySlice<Element> { items[head...] }

    mutating func append(_ element: Element) { items.append(element) }

    mutating func prepend(_ element: Element) { items.insert(element, at: head) }

    mutating func popFirst() -> Element? {
        guard head < items.count else { return nil }
        defer {
            head += 1
            // Moved up when half of it is gone: each element is moved once on average.
            if head * 2 >= items.count {
                items.removeFirst(head)
                head = 0
            }
        }
        return items[head]
    }

    mutating func remove(where isGone: (Element) -> Bool) {
        items.removeFirst(head)
        head = 0
        items.removeAll(where: isGone)
    }
}
