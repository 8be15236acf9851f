import Domain

/// Bodies of `/control`: the simulator's own.
enum ControlBodies {
    static func clock(_ clock: ReplayClock) -> JSONText {
        [
            "phase": .string(clock.phase.rawValue), "venue_time": .integer(clock.venueTime.microseconds),
            "venue_time_text": .string(clock.venueTime.description),
            "start": .integer(clock.steps[0].at.microseconds),
            "end": .integer(clock.steps[clock.steps.count - 1].at.microseconds), "step": .integer(Int64(clock.index)),
            "steps": .integer(Int64(clock.steps.count)), "speed": .number("\(clock.pace.speed)"),
            "readers": .array(clock.readers.active.map { .string($0) }),
            "awaited": .array(clock.awaited.map { .string($0) }),
            "expired_holds": .integer(Int64(clock.expiredHolds)),
        ]
    }

    static func statistics(_ state: VenueState) -> JSONText {
        let statistics = state.statistics
        let exchange = state.exchange
        let refused = statistics.ordersRefused.values.reduce(0, +)
        let statuses = Dictionary(grouping: exchange.recentOrders, by: \.status.rawValue).mapValues(\.count)
        let contracts = exchange.fills.reduce(Quantity.zero) { $0 + $1.quantity }
        return [
            "finished": .flag(state.isFinished), "phase": .string(state.clock.phase.rawValue),
            "venue_time": .integer(state.venueTime.microseconds), "steps": .integer(Int64(statistics.steps)),
            "facts": .integer(Int64(statistics.facts)), "expired_holds": .integer(Int64(state.clock.expiredHolds)),
            "published": counts(statistics.published), "frames_sent": counts(statistics.frames),
            "readers": .array(state.clock.readers.active.map { .string($0) }),
            "pings_sent": .integer(Int64(statistics.pings)),
            "connections": [
                "open": .integer(Int64(state.connectionCount)), "total": .integer(Int64(statistics.connections)),
            ],
            "commands": .integer(Int64(statistics.commands)), "requests": counts(statistics.requests),
            "answers": counts(
                Dictionary(uniqueKeysWithValues: statistics.answers.map { ("\($0.key)", $0.value) })),
            "orders": [
                "accepted": .integer(Int64(statistics.ordersAccepted)), "rejected": .integer(Int64(refused)),
                "cancelled": .integer(Int64(statistics.ordersCancelled)), "by_status": counts(statuses),
                "rejected_by_code": counts(statistics.ordersRefused),
            ],
            "fills": .integer(Int64(exchange.fills.count)), "contracts_filled": .string(contracts.description),
            "account": account(exchange),
            "faults": counts(
                Dictionary(
                    state.faults.struck.map { ($0.key.rawValue, $0.value) }, uniquingKeysWith: { first, _ in first })),
        ]
    }

    private static func account(_ exchange: SimulatedExchange) -> JSONText {
        let account = exchange.account
        let profit = account.profit { exchange.yesValue($0) }
        let positions = account.positions.sorted { $0.key < $1.key }.map { market, position in
            JSONText.Member(
                key: market.rawValue, value: .string(FixedPoint.format(position.netHundredths, scale: 2)))
        }
        return [
            "opening": .string(account.opening.description), "cash": .string(account.cash.description),
            "fees": .string(account.fees.description), "settled": .string(account.settled.description),
            "profit": .string(profit.description), "positions": .object(positions),
        ]
    }

    static func times(_ times: OrderTimes) -> JSONText {
        [
            "moves": .array(times.moves.map { ["market": .string($0.market.rawValue), "at": .integer($0.at)] }),
            "orders": .array(
                times.orders.map { ["client_order_id": .string($0.clientOrderID), "at": .integer($0.at)] }),
            "dropped": .integer(Int64(times.dropped)),
        ]
    }

    /// Names that whoever sent them gave them, in the order in which they were taken.
    static func orders(_ exchange: SimulatedExchange, after known: Int) -> JSONText {
        let names = exchange.orderIDs.dropFirst(known).compactMap { exchange.orders[$0]?.request.clientOrderID }
        return [
            "total": .integer(Int64(exchange.orderIDs.count)), "client_order_ids": .array(names.map { .string($0) }),
        ]
    }

    static func faults(_ board: FaultBoard) -> JSONText {
        [
            "armed": .array(board.armed.map(armed)),
            "struck": counts(
                Dictionary(board.struck.map { ($0.key.rawValue, $0.value) }, uniquingKeysWith: { first, _ in first })),
        ]
    }

    private static func armed(_ fault: FaultBoard.Armed) -> JSONText {
        [
            "id": .integer(Int64(fault.id)), "kind": .string(fault.order.kind.rawValue),
            "target": fault.order.target.map { .string($0) } ?? .null,
            "left": fault.left.map { .integer(Int64($0)) } ?? .null,
            "probability": fault.order.probability.map { .number("\($0)") } ?? .null,
            "expires": fault.expires.map { .integer($0.microseconds) } ?? .null,
            "struck": .integer(Int64(fault.struck)),
        ]
    }

    /// By name, sorted.
    private static func counts(_ values: [String: Int]) -> JSONText {
        let sorted = values.sorted { $0.key < $1.key }
        return .object(sorted.map { JSONText.Member(key: $0.key, value: .integer(Int64($0.value))) })
    }
}

extension SimulatedExchange {
    /// What a YES contract is worth: its settlement, else the middle of the book, else what was last paid.
    func yesValue(_ id: MarketID) -> Price? {
        guard let market = markets[id] else { return nil }
        if market.phase == .finalized { return market.recorded.settlement }
        let book = publishedBook(id)
        if let bid = book.bestBid(.yes)?.price, let ask = book.bestAsk(.yes)?.price {
            return try? Price(tenThousandths: (bid.tenThousandths + ask.tenThousandths) / 2)  // between two prices
        }
        return book.bestBid(.yes)?.price ?? book.bestAsk(.yes)?.price ?? market.lastPrice
    }
}
