import Domain

extension Safeguards {
    /// The first reason not to send an order of a plan, or nil.
    ///
    /// A slice is an entry like any other, and both of its legs must be paid for. What closes a bet is no leg: the
    /// venue nets it, and sold again it would open the bet anew (decision 0074). A bet may have traded since the plan
    /// was approved, so each slice asks again, of both markets. What covers or unwinds is an exit: the limits of
    /// entries do not hold it up. Covering opens a position, so an engaged kill switch holds it back also where
    /// reducing is allowed.
    public func refusal(of order: LegOrder, in plan: ApprovedPlan, _ context: SendContext) -> SendRefusal? {
        let signal = plan.signal
        if order.purpose == .cover, context.killSwitch != .released { return .killSwitch }
        guard
            let intent = try? ApprovedIntent(
                id: plan.id, signal: signal.id, reservation: plan.reservation, game: signal.game, sport: signal.sport,
                market: order.market, venue: order.venue, epoch: signal.epoch, outcome: order.outcome,
                action: order.action, limit: order.limit, quantity: order.quantity, expiresAt: signal.expiresAt)
        else { return .orderContracts }  // nothing to trade, which the plan never asks for
        if order.purpose != .enter { return refusal(of: intent, reduces: true, context) }
        if let reason = refusal(of: intent, context) { return reason }
        let closes = signal.legs.contains { leg in
            let others = context.heldByOthers[leg.market] ?? 0
            return leg.outcome == .yes ? others < 0 : others > 0
        }
        if closes { return .opposingPosition }
        let both = signal.legs.reduce(Money.zero) { $0 + $1.cost(of: order.quantity) }
        let needed = Int128(both.microdollars) * Int128(balancePercent)
        return Int128((context.balance ?? .zero).microdollars) * 100 < needed ? .insufficientBalance : nil
    }
}
