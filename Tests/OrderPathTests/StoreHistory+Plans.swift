import Domain
import ExecutionServiceEngine
import Hosting
import OrchestratorEngine
import Postgres
import Resilience
import Runtime
import SignalProcessorEngine

@testable import ExecutionService
@testable import SignalProcessor
@testable import Simulation

/// Plans of two legs in a random history: who holds them, what they store, and how they end.
extension StoreHistory {
    private static let holders = ["a", "b"]
    private static let lease = Duration.seconds(3_600)

    mutating func sayArbitrage() async throws -> [String] {
        if roll(0...4) == 0, let (signal, sender) = pick(of: arbitrages) { return try await process(signal, sender) }
        guard let (game, sport) = pick(of: Self.games), let seat = seats[game] else { return [] }
        let first = Int64(roll(10...85))
        let legs = try [(HomeAway.home, first), (.away, Int64(roll(5...95 - Int(first))))].map { team, cents in
            try ArbitrageLeg(
                market: market(game, team), venue: .kalshi, outcome: .yes, backs: team, price: .cents(cents),
                available: .contracts(Int64(roll(1...200))))
        }
        let signal = try? ArbitrageSignal(
            id: SignalID("a\(arbitrages.count)-\(seed)"), game: game, sport: sport,
            epoch: roll(0...19) == 0 ? Epoch(seat.epoch.number + 1) : seat.epoch, shard: seat.shard, legs: legs,
            createdAt: now, expiresAt: now.advanced(by: .seconds(roll(5...60))))
        guard let signal else { return [] }  // the fees take all
        let sender = roll(0...3) == 0 ? nil : lives[seat.shard]
        arbitrages.append((signal, sender))
        return try await process(signal, sender)
    }

    private mutating func process(_ signal: ArbitrageSignal, _ sender: Incarnation?) async throws -> [String] {
        let marks = marks()
        let real = try await signals.process(
            signal, from: sender, trace: nil, engine: processor, marks: marks, at: now)
        let owner = SimulatedBooks.Ownership(seat: seats[signal.game], life: lives[signal.shard])
        let ours = books.process(
            signal, from: sender, owner, engine: processor, marks: marks, as: .derived(from: signal.id),
            legs: { IntentID(stringLiteral: UUIDv5.make(namespace: .dns, name: "\($1 + 1).\($0).leg.linesman")) },
            at: now, database: .origin)
        let found = try await holdBounds()
        let theirs: SimulatedBooks.PlanDecision =
            switch real {
            case .decided(let verdict): .decided(verdict)
            case .known: .known
            }
        return found + note("arbitrage \(signal.id)", theirs, ours)
    }

    mutating func workOnPlan() async throws -> [String] {
        guard let id = pick(of: books.plans.keys.sorted()), let row = books.plans[id],
            let holder = roll(0...3) == 0 ? pick(of: Self.holders) : row.holder ?? pick(of: Self.holders)
        else { return [] }
        switch roll(0...9) {
        case ..<3: return try await take(id, holder)
        case ..<4: return try await endLease(id)
        case ..<5: return try await look(id, holder)
        case ..<9: return try await claimLeg(row.approved, holder)
        default: return try await finish(row.approved, holder)
        }
    }

    private mutating func take(_ id: IntentID, _ holder: String) async throws -> [String] {
        let real = try await orders.takePlan(id, for: holder, lease: Self.lease)
        let ours = books.takePlan(id, for: holder, lease: Self.lease, at: .origin)
        let theirs = real.map { plan in
            Taken(
                aloneFor: Self.hours(plan.alone),
                orders: plan.orders.map {
                    Sent(leg: $0.leg, record: $0.record, answer: $0.answer, closedFor: Self.hours($0.closedFor))
                })
        }
        let mine = ours.map { plan in
            Taken(
                aloneFor: Self.hours(plan.alone),
                orders: plan.orders.map {
                    Sent(leg: $0.leg, record: $0.record, answer: $0.answer, closedFor: Self.hours($0.closedFor))
                })
        }
        return note("\(holder) takes \(id)", theirs, .some(mine))
    }

    /// How long ago something was is the database's own time: what is less than an hour is as good as none.
    private static func hours(_ duration: Duration) -> Int64 { duration.components.seconds / 3_600 }

    private struct Taken: Equatable {
        let aloneFor: Int64
        let orders: [Sent]
    }

    private struct Sent: Equatable {
        let leg: LegOrder
        let record: OrderRecord
        let answer: LegAnswer?
        let closedFor: Int64
    }

    private mutating func endLease(_ id: IntentID) async throws -> [String] {
        guard books.plans[id]?.heldUntil != nil else { return [] }
        try await rig.pool.execute(
            "UPDATE plans SET held_until = now() - interval '1 second' WHERE plan_id = \(id.rawValue)")
        books.plans[id]?.heldUntil = MachineInstant.origin.advanced(by: .seconds(-1))
        return []
    }

    private mutating func look(_ id: IntentID, _ holder: String) async throws -> [String] {
        let real = try await orders.lookAfter(id, for: holder, lease: Self.lease)
        let ours = books.lookAfter(id, for: holder, lease: Self.lease, at: .origin)
        let theirs = real.map {
            SimulatedBooks.PlanLook(
                killSwitch: $0.killSwitch, hasExpired: $0.hasExpired, busy: $0.busy, ended: $0.ended)
        }
        return note("\(holder) looks after \(id)", theirs, .some(ours))
    }

    private mutating func claimLeg(_ plan: ApprovedPlan, _ holder: String) async throws -> [String] {
        let sent = books.orders(ofPlan: plan.id, at: .origin).count
        let index = roll(0...1)
        let leg = plan.signal.legs[index]
        guard let purpose = pick(of: LegOrder.Purpose.allCases) else { return [] }
        let order = LegOrder(
            number: sent + (roll(0...9) == 0 ? 2 : 1), leg: index, purpose: purpose, market: leg.market,
            venue: leg.venue, outcome: leg.outcome, action: purpose == .unwind ? .sell : .buy,
            limit: purpose == .enter ? leg.price : .cents(Int64(roll(1...99))),
            quantity: .contracts(Int64(roll(1...10))))
        let seen = try readings(of: leg.market, leg.outcome, at: leg.price)
        let real = try await orders.claimLeg(
            order, of: plan, for: holder, safeguards: engine.safeguards, seen: seen.real, at: now)
        let ours = books.claimLeg(
            order, of: plan, for: holder, safeguards: engine.safeguards, seen: seen.ours,
            as: { .derived(from: $0, attempt: $1) }, at: now, database: .origin)
        let theirs: SimulatedBooks.LegClaim =
            switch real {
            case .stored(let record): .stored(record)
            case .refused(let reason): .refused(reason)
            case .waits: .waits
            case .lost: .lost
            }
        return note("\(holder) claims \(purpose) \(order.number) of \(plan.id)", theirs, ours)
    }

    /// As it stands, also when a leg stands alone or an order is open.
    private mutating func finish(_ plan: ApprovedPlan, _ holder: String) async throws -> [String] {
        let sent = books.orders(ofPlan: plan.id, at: .origin)
        let stood = LegPlan.resumed(plan, orders: sent.map { ($0.leg, $0.answer) }, at: .origin).plan
        let ending = roll(0...4) == 0 ? PlanEnding.naked : stood.outcome.ending.rawValue
        let real = try await orders.finishPlan(
            plan, for: holder, stood.outcome, ending: ending, refusal: nil, at: now)
        return note(
            "\(holder) finishes \(plan.id)", real,
            books.finishPlan(plan.id, for: holder, stood.outcome, ending: ending))
    }
}
