import Domain
import Recording
import Resilience
import Runtime

/// Everything of the simulator that changes, behind one lock: exchange, scoreboards, clock, faults, sessions, counts.
///
/// Each method takes one thing that happened, changes the state and hands frames to the outlets in order; none waits.
struct VenueState: Sendable {
    struct Connection: Sendable {
        var session = VenueSession()
        let outlet: any FrameOutlet
        /// A frame that a reorder fault holds back until the next one.
        var held: OutgoingFrame?
    }

    private(set) var exchange: SimulatedExchange
    /// One a game, the recorded one first.
    private(set) var scoreboards: [Scoreboard]
    private(set) var clock: ReplayClock
    var faults = FaultBoard()
    private(set) var statistics = SimulatorStatistics()
    private(set) var times = OrderTimes()
    private let wall: WallClock
    private let copies: GameCopies
    private var connections: [Int: Connection] = [:]
    private var lastConnection = 0

    init(
        recording: Recording, copies: GameCopies, settings: SimulatorSettings, wall: WallClock, at now: MachineInstant
    ) {
        self.copies = copies
        self.wall = wall
        exchange = SimulatedExchange(
            header: copies.header, balance: settings.balance, refusesDuplicates: settings.duplicates == .refuse)
        scoreboards = copies.games.map { Scoreboard(game: $0) }
        clock = ReplayClock(
            start: recording.start, moments: copies.moments(of: recording),
            pace: ReplayPace(speed: settings.speed, hold: settings.hold), at: now)
        enter(clock.current)
    }

    var venueTime: VenueInstant { clock.venueTime }
    var connectionCount: Int { connections.count }
    /// Every market closed and paid, and the recording at its end.
    var isFinished: Bool { clock.phase == .finished }
}

// Time.
extension VenueState {
    mutating func start(at now: MachineInstant) -> Bool { clock.start(at: now) }

    mutating func stop() { clock.stop() }

    /// Enters every step that is due, and says what to wait for.
    mutating func advance(at now: MachineInstant) -> ReplayClock.Wait {
        while let step = clock.advance(at: now) { enter(step) }
        return clock.wait(at: now)
    }

    private mutating func enter(_ step: ReplayStep) {
        statistics.steps += 1
        publish(exchange.pass(to: step.at))
        for fact in step.moment?.facts ?? [] {
            statistics.facts += 1
            for index in scoreboards.indices { scoreboards[index].apply(fact) }
            for own in copies.facts(fact) {
                times.note(own, at: wall.microseconds)
                publish(exchange.apply(own, at: step.at))
            }
        }
    }

    mutating func readScoreboard(by reader: String, handled: VenueInstant?, at now: MachineInstant) {
        clock.read(by: reader, handled: handled, at: now)
    }
}

// Requests.
extension VenueState {
    mutating func countRequest(_ name: String) { statistics.requests[name, default: 0] += 1 }

    mutating func countAnswer(_ status: Int) { statistics.answers[status, default: 0] += 1 }

    /// `arrived` is when the request began to come in, wall time in microseconds.
    mutating func place(_ order: PlaceOrder, arrived: Int64) -> Result<SimulatedOrder, OrderRefusal> {
        times.note(order, at: arrived)
        switch exchange.place(order) {
        case .success((let placed, let events)):
            statistics.ordersAccepted += 1
            publish(events)
            return .success(placed)
        case .failure(let refusal):
            countRefusal(refusal.code)
            return .failure(refusal)
        }
    }

    mutating func cancel(_ id: String) -> Result<(SimulatedOrder, Quantity), OrderRefusal> {
        switch exchange.cancel(id) {
        case .success((let order, let reduced, let events)):
            statistics.ordersCancelled += 1
            publish(events)
            return .success((order, reduced))
        case .failure(let refusal): return .failure(refusal)
        }
    }

    /// A difference to every client's books.
    mutating func plant(_ order: PlantOrder) throws(DomainError) {
        let hundredths = try FixedPoint.parse(order.contracts ?? "0", scale: 2, field: "contracts")
        let cash = try Money(dollars: order.cash ?? "0")
        guard
            let market = try order.market.map({ text throws(DomainError) in try MarketID(text) })
                ?? exchange.header.markets.first?.market.id
        else { return }
        try exchange.plant(hundredths, in: market, cash: cash)
    }

    mutating func countRefusal(_ code: OrderRefusal.Code) { statistics.ordersRefused[code.rawValue, default: 0] += 1 }
}

// Sockets.
extension VenueState {
    mutating func connect(_ outlet: any FrameOutlet) -> Int {
        lastConnection += 1
        connections[lastConnection] = Connection(outlet: outlet)
        statistics.connections += 1
        return lastConnection
    }

    mutating func disconnect(_ id: Int) { connections[id] = nil }

    mutating func receive(_ text: String, from id: Int) {
        guard var connection = connections[id] else { return }
        statistics.commands += 1
        let frames = connection.session.handle(SocketCommand.decode(text), in: exchange)
        connections[id] = connection
        for frame in frames { send(frame, to: id, subject: frame.kind) }
    }

    mutating func receivePing(_ body: [UInt8], from id: Int) {
        if faults.strike(.mute, "websocket", at: venueTime) == nil { connections[id]?.outlet.pong(body) }
    }

    mutating func pingAll() {
        guard !connections.isEmpty, faults.strike(.mute, "websocket", at: venueTime) == nil else { return }
        for (_, connection) in connections.sorted(by: { $0.key < $1.key }) { connection.outlet.ping() }
        statistics.pings += connections.count
    }

    mutating func closeSockets() -> Int {
        for (_, connection) in connections.sorted(by: { $0.key < $1.key }) { connection.outlet.close() }
        defer { connections = [:] }
        return connections.count
    }

    private mutating func publish(_ events: [ExchangeEvent]) {
        for event in events {
            statistics.count(event)
            for id in connections.keys.sorted() {
                let subject = "\(event.frameKind) \(event.market)"
                guard var connection = connections[id] else { continue }
                if faults.strike(.sequenceGap, subject, at: venueTime) != nil { connection.session.skipSequence(1) }
                let frames = connection.session.publish(event, in: exchange)
                connections[id] = connection
                for frame in frames { send(frame, to: id, subject: subject) }
            }
        }
    }

    /// Hands a frame to its outlet, unless a fault has other plans.
    private mutating func send(_ frame: OutgoingFrame, to id: Int, subject: String) {
        guard let connection = connections[id] else { return }
        if faults.armed.isEmpty, connection.held == nil {
            statistics.frames[frame.kind, default: 0] += 1
            connection.outlet.send(frame.text, after: .zero)
            return
        }
        if faults.strike(.mute, subject, at: venueTime) != nil { return }
        if faults.strike(.drop, subject, at: venueTime) != nil { return }
        if connection.held == nil, faults.strike(.reorder, subject, at: venueTime) != nil {
            connections[id]?.held = frame
            return
        }
        var texts = [frame.text]
        if faults.strike(.garbageFrame, subject, at: venueTime) != nil {
            texts.insert("{\"type\":\"orderbook_de", at: 0)
        }
        if faults.strike(.duplicate, subject, at: venueTime) != nil { texts.append(frame.text) }
        let delay = faults.strike(.delay, subject, at: venueTime).map { Duration.milliseconds($0.delayMs ?? 200) }
        if let held = connection.held {
            texts.append(held.text)
            statistics.frames[held.kind, default: 0] += 1
            connections[id]?.held = nil
        }
        statistics.frames[frame.kind, default: 0] += 1
        for text in texts { connection.outlet.send(text, after: delay ?? .zero) }
    }
}

extension ExchangeEvent {
    var market: MarketID {
        switch self {
        case .delta(let market, _, _, _, _), .ticker(let market), .lifecycle(let market, _): market
        case .trade(let trade): trade.market
        case .fill(let fill): fill.market
        }
    }

    /// The `type` of the frame that carries it.
    var frameKind: String {
        switch self {
        case .delta: "orderbook_delta"
        case .trade: "trade"
        case .fill: "fill"
        case .ticker: "ticker"
        case .lifecycle: "market_lifecycle_v2"
        }
    }
}
