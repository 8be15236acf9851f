import Domain

// The messages on the way of an order, from a price to the order's own (decision 0062). The keys are those of
// `Codable`; their order is ours.

extension PriceUpdate {
    public func write(to json: inout [UInt8]) -> Bool {
        json.append("{\"game\":", game.rawValue)
        json.append(",\"market\":", market.rawValue)
        if let yesBid { json.append(",\"yesBid\":", yesBid) }
        if let yesAsk { json.append(",\"yesAsk\":", yesAsk) }
        json.append(",\"at\":", at.microseconds)
        json.append("}")
        return true
    }

    public init?(laidOutIn json: inout WireScanner) {
        guard let game: GameID = json.name("{\"game\":"), let market: MarketID = json.name(",\"market\":") else {
            return nil
        }
        var (bid, ask): (BookLevel?, BookLevel?)
        if json.skip(",\"yesBid\":") {
            bid = json.level()
            if bid == nil { return nil }
        }
        if json.skip(",\"yesAsk\":") {
            ask = json.level()
            if ask == nil { return nil }
        }
        guard let at = json.number(",\"at\":"), json.skip("}"), let at = try? VenueInstant(microseconds: at) else {
            return nil
        }
        self.init(game: game, market: market, yesBid: bid, yesAsk: ask, at: at)
    }
}

extension SignalMessage {
    public func write(to json: inout [UInt8]) -> Bool {
        json.append("{\"signal\":{\"id\":", signal.id.rawValue)
        json.append(",\"kind\":", signal.kind.rawValue)
        json.append(",\"game\":", signal.game.rawValue)
        json.append(",\"sport\":", signal.sport.rawValue)
        json.append(",\"market\":", signal.market.rawValue)
        json.append(",\"venue\":", signal.venue.rawValue)
        json.append(",\"epoch\":", signal.epoch.number)
        json.append(",\"shard\":", signal.shard.rawValue)
        json.append(",\"outcome\":", signal.outcome.rawValue)
        json.append(",\"probability\":")
        // The shortest text that is read as the same number; a chance is finite.
        json.append(contentsOf: signal.probability.value.description.utf8)
        json.append(",\"price\":", signal.price.tenThousandths)
        json.append(",\"available\":", signal.available.hundredths)
        json.append(",\"edgeBasisPoints\":", Int64(signal.edgeBasisPoints))
        if let play = signal.play { json.append(",\"play\":", play.rawValue) }
        json.append(",\"createdAt\":", signal.createdAt.microseconds)
        json.append(",\"expiresAt\":", signal.expiresAt.microseconds)
        json.append("}}")
        return true
    }

    public init?(laidOutIn json: inout WireScanner) {
        guard let id: SignalID = json.name("{\"signal\":{\"id\":"), let kind: SignalKind = json.choice(",\"kind\":"),
            let game: GameID = json.name(",\"game\":"), let sport: Sport = json.choice(",\"sport\":"),
            let market: MarketID = json.name(",\"market\":"), let venue: Venue = json.choice(",\"venue\":"),
            let epoch = json.number(",\"epoch\":"), let shard: ShardID = json.name(",\"shard\":"),
            let outcome: Outcome = json.choice(",\"outcome\":"), json.skip(",\"probability\":"),
            let probability = json.fraction(), let price = json.number(",\"price\":"),
            let available = json.number(",\"available\":"), let edge = json.number(",\"edgeBasisPoints\":")
        else { return nil }
        var play: PlayID?
        if json.skip(",\"play\":") {
            play = json.name("")
            if play == nil { return nil }
        }
        guard let created = json.number(",\"createdAt\":"), let expires = json.number(",\"expiresAt\":"),
            json.skip("}}"),
            // What cannot be is Foundation's to complain of.
            let signal = try? Signal(
                id: id, kind: kind, game: game, sport: sport, market: market, venue: venue, epoch: Epoch(epoch),
                shard: shard, outcome: outcome, probability: Probability(probability),
                price: Price(tenThousandths: price), available: Quantity(hundredths: available),
                edgeBasisPoints: Int(edge), play: play, createdAt: VenueInstant(microseconds: created),
                expiresAt: VenueInstant(microseconds: expires))
        else { return nil }
        self.init(signal: signal)
    }
}

extension IntentMessage {
    public func write(to json: inout [UInt8]) -> Bool {
        json.append(intent)
        return true
    }

    public init?(laidOutIn json: inout WireScanner) {
        guard let intent = json.intent() else { return nil }
        self.init(intent: intent)
    }
}

extension IntentHint {
    public func write(to json: inout [UInt8]) -> Bool {
        json.append(intent)
        return true
    }

    public init?(laidOutIn json: inout WireScanner) {
        guard let intent = json.intent() else { return nil }
        self.init(intent: intent)
    }
}

extension OrderUpdate {
    public func write(to json: inout [UInt8]) -> Bool {
        json.append("{\"order\":", order.rawValue)
        json.append(",\"intent\":", intent.rawValue)
        json.append(",\"game\":", game.rawValue)
        json.append(",\"market\":", market.rawValue)
        json.append(",\"outcome\":", outcome.rawValue)
        json.append(",\"action\":", action.rawValue)
        json.append(",\"limit\":", limit.tenThousandths)
        json.append(",\"quantity\":", quantity.hundredths)
        json.append(",\"filled\":", filled.hundredths)
        if let averagePrice { json.append(",\"averagePrice\":", averagePrice.tenThousandths) }
        json.append(",\"fees\":", fees.microdollars)
        json.append(",\"state\":", state.rawValue)
        if let reason { json.append(",\"reason\":", reason) }
        json.append("}")
        return true
    }

    public init?(laidOutIn json: inout WireScanner) {
        guard let order: OrderID = json.name("{\"order\":"), let intent: IntentID = json.name(",\"intent\":"),
            let game: GameID = json.name(",\"game\":"), let market: MarketID = json.name(",\"market\":"),
            let outcome: Outcome = json.choice(",\"outcome\":"), let action: Action = json.choice(",\"action\":"),
            let limit = json.number(",\"limit\":"), let quantity = json.number(",\"quantity\":"),
            let filled = json.number(",\"filled\":")
        else { return nil }
        var average: Int64?
        if json.skip(",\"averagePrice\":") {
            average = json.number()
            if average == nil { return nil }
        }
        guard let fees = json.number(",\"fees\":"), let state: OrderState = json.choice(",\"state\":") else {
            return nil
        }
        let reason = json.skip(",\"reason\":") ? json.string() : nil
        guard json.skip("}") else { return nil }
        do {
            self.init(
                order: order, intent: intent, game: game, market: market, outcome: outcome, action: action,
                limit: try Price(tenThousandths: limit), quantity: try Quantity(hundredths: quantity),
                filled: try Quantity(hundredths: filled),
                averagePrice: try average.map { try Price(tenThousandths: $0) },
                fees: try Money(microdollars: fees), state: state, reason: reason)
        } catch {
            // Foundation says so.
            return nil
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ key: StaticString, _ level: BookLevel) {
        append(key)
        append("{\"price\":", level.price.tenThousandths)
        append(",\"quantity\":", level.quantity.hundredths)
        append("}")
    }

    fileprivate mutating func append(_ intent: ApprovedIntent) {
        append("{\"intent\":{\"id\":", intent.id.rawValue)
        append(",\"signal\":", intent.signal.rawValue)
        append(",\"reservation\":", intent.reservation.rawValue)
        append(",\"game\":", intent.game.rawValue)
        append(",\"sport\":", intent.sport.rawValue)
        append(",\"market\":", intent.market.rawValue)
        append(",\"venue\":", intent.venue.rawValue)
        append(",\"epoch\":", intent.epoch.number)
        append(",\"outcome\":", intent.outcome.rawValue)
        append(",\"action\":", intent.action.rawValue)
        append(",\"limit\":", intent.limit.tenThousandths)
        append(",\"quantity\":", intent.quantity.hundredths)
        append(",\"expiresAt\":", intent.expiresAt.microseconds)
        append("}}")
    }
}

extension WireScanner {
    fileprivate mutating func level() -> BookLevel? {
        guard let price = number("{\"price\":"), let quantity = number(",\"quantity\":"), skip("}") else { return nil }
        return try? BookLevel(price: Price(tenThousandths: price), quantity: Quantity(hundredths: quantity))
    }

    fileprivate mutating func intent() -> ApprovedIntent? {
        guard let id: IntentID = name("{\"intent\":{\"id\":"), let signal: SignalID = name(",\"signal\":"),
            let reservation: ReservationID = name(",\"reservation\":"), let game: GameID = name(",\"game\":"),
            let sport: Sport = choice(",\"sport\":"), let market: MarketID = name(",\"market\":"),
            let venue: Venue = choice(",\"venue\":"), let epoch = number(",\"epoch\":"),
            let outcome: Outcome = choice(",\"outcome\":"), let action: Action = choice(",\"action\":"),
            let limit = number(",\"limit\":"), let quantity = number(",\"quantity\":"),
            let expires = number(",\"expiresAt\":"), skip("}}")
        else { return nil }
        return try? ApprovedIntent(
            id: id, signal: signal, reservation: reservation, game: game, sport: sport, market: market, venue: venue,
            epoch: Epoch(epoch), outcome: outcome, action: action, limit: Price(tenThousandths: limit),
            quantity: Quantity(hundredths: quantity), expiresAt: VenueInstant(microseconds: expires))
    }
}
