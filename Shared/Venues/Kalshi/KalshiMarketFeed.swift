import Domain
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Resilience
import Runtime

/// Order books from Kalshi's WebSocket: connects, follows, resynchronises, reconnects, and says so.
///
/// One connection at a time, driven by `run`; what the frames mean is decided by `KalshiBookStream`. Legal states are
/// those of `Reconnection`.
public final class KalshiMarketFeed: MarketFeed {
    /// What the session is woken by.
    enum Wake: Sendable {
        case input(WebSocketInput<VenueInstant>)
        case markets(Set<MarketID>)
    }

    private struct State {
        var desired: Set<MarketID> = []
        var mailbox: Mailbox<Wake>?
        var connection: WebSocketConnection?
        var status = MarketFeedStatus()
    }

    /// How long a venue is left alone at most that serves us and from which frames are missing again and again.
    ///
    /// A venue that cannot be reached is left alone for longer each time; this one is there, and games have no book
    /// until it is asked again. Each connection asks for its books six times at most.
    static let stormPause = Duration.seconds(2)

    private let url: WebSocketURL
    private let limits: WebSocketLimits
    private let notices: [String]
    private let signer: KalshiSigner?
    private let time: VenueTime
    private let group: any EventLoopGroup
    private let clock: MachineClock
    private let random: RandomSource
    private let log: Logger
    private let state = NIOLockedValueBox(State())
    private let queue = MarketEventQueue()
    private let reconnection: NIOLockedValueBox<Reconnection>

    /// - Parameters:
    ///   - url: of the WebSocket.
    ///   - limits: of the connection.
    ///   - reconnection: when to connect again.
    ///   - notices: channels beside the books, `trade` and `market_lifecycle_v2`.
    ///   - signer: nil only for a venue that asks for no key.
    ///   - time: see there.
    ///   - group: carries the connection.
    ///   - clock: of the process.
    ///   - random: for the jitter.
    ///   - log: of the process.
    public init(
        url: WebSocketURL, limits: WebSocketLimits = WebSocketLimits(), reconnection: Reconnection = Reconnection(),
        notices: [String] = ["market_lifecycle_v2"], signer: KalshiSigner?, time: VenueTime,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, clock: MachineClock,
        random: RandomSource, log: Logger
    ) {
        self.url = url
        self.limits = limits
        self.notices = notices
        self.signer = signer
        self.time = time
        self.group = group
        self.clock = clock
        self.random = random
        self.log = log
        self.reconnection = NIOLockedValueBox(reconnection)
    }

    public var events: MarketEvents { MarketEvents(queue: queue) }

    public var status: MarketFeedStatus {
        let reconnection = reconnection.withLockedValue { $0 }
        var status = state.withLockedValue { state in
            var status = state.status
            status.markets = state.desired.count
            return status
        }
        status.isConnected = reconnection.state == .connected
        status.reconnects = reconnection.reconnects
        status.failures = reconnection.failures
        status.breakerState = reconnection.breaker.state.rawValue
        if queue.dropped > 0 { status.errors["dropped_events"] = queue.dropped }
        return status
    }

    public func setMarkets(_ markets: Set<MarketID>) {
        state.withLockedValue { state in
            state.desired = markets
            _ = state.mailbox?.push([.markets(markets)], bytes: 0)
        }
    }

    public func probe() -> Bool {
        guard let connection = state.withLockedValue({ $0.connection }) else { return false }
        connection.ping()
        return true
    }

    public func run() async throws {
        while true {
            try Task.checkCancellation()
            var delay = Duration.milliseconds(100)
            if reconnection.withLockedValue({ $0.attempt(at: clock.now) }) {
                let (failure, hasServed) = await session()
                delay = random.withGenerator { generator in
                    reconnection.withLockedValue { reconnection in
                        guard failure.code == .resyncStorm, hasServed else {
                            return reconnection.failed(at: clock.now, using: &generator)
                        }
                        return reconnection.gaveUp(at: clock.now, waitingAtMost: Self.stormPause, using: &generator)
                    }
                }
                try Task.checkCancellation()
                note(failure)
                queue.push([.disconnected(failure.code)])
                log.warning(
                    "market feed lost",
                    metadata: [
                        Key.venue: "kalshi", Key.code: "\(failure.code.rawValue)", Key.error: "\(failure.message)",
                        Key.delay: "\(delay.wholeMilliseconds)",
                    ])
            } else {
                delay = max(delay, reconnection.withLockedValue { $0.breaker.wait(at: clock.now) })
            }
            try await clock.sleep(for: delay)
        }
    }

    /// One connection from its beginning to its end; returns why it ended, and whether any book has stood on it.
    private func session() async -> (FeedFailure, hasServed: Bool) {
        let mailbox = Mailbox<Wake>(itemBound: 100_000, byteBound: limits.messageBytes * 4)
        let connection: WebSocketConnection
        do {
            let headers = try signer?.headers(method: "GET", path: url.path) ?? []
            // Returns at once when cancelled; a connection that comes too late is closed by whoever made it.
            connection = try await withDeadline(limits.connectTimeout + limits.handshakeTimeout, clock: clock) {
                [url, limits, group, time] in
                let connection = try await WebSocketConnection.connect(
                    to: url, headers: headers, limits: limits, group: group, stamp: { time.now },
                    receive: { inputs in mailbox.push(inputs) })
                if Task.isCancelled { connection.close() }
                return connection
            }
        } catch is DeadlineExceeded {
            return (FeedFailure(.handshakeTimeout, "no connection in time"), false)
        } catch let failure as FeedFailure {
            return (failure, false)
        } catch {
            return (FeedFailure(.connectFailed, "\(error)"), false)
        }
        defer { connection.close() }
        reconnection.withLockedValue { $0.connected(at: clock.now) }
        queue.push([.connected])
        log.info("market feed connected", metadata: [Key.venue: "kalshi", Key.address: "\(url)"])

        var session = KalshiFeedSession(stream: KalshiBookStream(notices: notices), time: time)
        let desired = state.withLockedValue { state in
            state.mailbox = mailbox
            state.connection = connection
            return state.desired
        }
        var effects = session.stream.setMarkets(desired, at: clock.now)
        effects += session.stream.connected(at: clock.now)
        var failure = carryOut(effects, &session, connection)
        while failure == nil, let wakes = await mailbox.next() {
            failure = handle(wakes, &session, connection)
        }
        state.withLockedValue { state in
            state.mailbox = nil
            state.connection = nil
        }
        _ = carryOut(session.stream.disconnected(), &session, connection)
        publish(&session)
        return (failure ?? FeedFailure(.stopped), session.stream.hasServed)
    }

    /// One batch; returns why the connection must end, if it must.
    private func handle(
        _ wakes: [Wake], _ session: inout KalshiFeedSession, _ connection: WebSocketConnection
    ) -> FeedFailure? {
        var failure: FeedFailure?
        let now = clock.now
        for wake in wakes where failure == nil {
            switch wake {
            case .markets(let markets):
                failure = carryOut(session.stream.setMarkets(markets, at: now), &session, connection)
            case .input(.message(let buffer)):
                failure = carryOut(session.decode(buffer, at: now), &session, connection)
            case .input(.pinged):
                session.confirm(at: time.now)
            case .input(.ponged(let sent)):
                session.answered(at: sent)
            case .input(.tick):
                failure = carryOut(session.stream.tick(at: now), &session, connection)
            case .input(.closed(let reason)):
                failure = reason
            }
        }
        publish(&session)
        return failure
    }

    private func carryOut(
        _ effects: [KalshiBookStream.Effect], _ session: inout KalshiFeedSession, _ connection: WebSocketConnection
    ) -> FeedFailure? {
        for effect in effects {
            switch effect {
            case .send(let command): connection.send(command.json)
            case .reconnect(let code): return FeedFailure(code)
            default: session.note(effect)
            }
        }
        return nil
    }

    /// Hands out what a batch brought, and brings the status up to date.
    private func publish(_ session: inout KalshiFeedSession) {
        let (events, errors) = session.take()
        state.withLockedValue { state in
            state.status.frames += session.takeFrames()
            state.status.books = session.stream.books.count
            for (code, count) in errors { state.status.errors[code, default: 0] += count }
        }
        queue.push(events)
    }

    private func note(_ failure: FeedFailure) {
        state.withLockedValue { state in
            state.status.lastFailure = failure.code
            state.status.errors[failure.code.rawValue, default: 0] += 1
        }
    }
}

extension Mailbox where Item == KalshiMarketFeed.Wake {
    /// Takes what one read brought; when it does not fit, the connection is as good as lost.
    func push(_ inputs: [WebSocketInput<VenueInstant>]) {
        var bytes = 0
        for case .message(let buffer) in inputs { bytes += buffer.readableBytes }
        if !push(inputs.map { .input($0) }, bytes: bytes) {
            replace(with: .input(.closed(FeedFailure(.consumerTooSlow, "frames came faster than they were read"))))
        }
    }
}
