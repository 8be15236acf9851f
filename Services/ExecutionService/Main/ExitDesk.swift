import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Resilience
import Runtime
import Wire

/// Sells positions whose price says so: takes profits and stops losses (DOMAIN 2.6).
///
/// What is held is read from PostgreSQL at each wake-up, so a restart goes on where the last life stopped. In between
/// every price is looked at as it comes, on a copy; whether to sell is decided again in the transaction that makes the
/// intent. What becomes of the intent is the order desk's business: it is sent before entries, also when their limits
/// have tripped.
actor ExitDesk {
    private let host: ServiceHost
    private let store: OrderStore
    private let desk: OrderDesk
    private let prices: LatestPrices
    private let policy: ExitPolicy
    /// Rung when something may be to sell, or may have changed.
    nonisolated let wakeUps: WakeUps
    private let interval: Duration
    private let passesKillSwitch: Bool
    private var held: [MarketID: HeldPosition] = [:]
    /// When an exit was last asked for, and of how much: one that nobody takes is not asked for at every price.
    private var asked: [MarketID: (at: MachineInstant, net: Int64)] = [:]
    /// Exits that the kill switch holds back, as the operator was told.
    private var heldBack: [MarketID: ExitReason] = [:]

    init(
        host: ServiceHost, store: OrderStore, desk: OrderDesk, prices: LatestPrices,
        settings: ExecutionServiceSettings, wakeUps: WakeUps
    ) {
        policy = ExitPolicy(settings.exits, mode: settings.host.trading.mode)
        interval = settings.exits.interval
        passesKillSwitch = settings.killSwitchAllowsReducing
        self.wakeUps = wakeUps
        self.host = host
        self.store = store
        self.desk = desk
        self.prices = prices
    }

    /// A price was told; most are of markets in which nothing is held.
    func heard(_ price: PriceUpdate) {
        guard let position = held[price.market] else { return }
        // A price shows a venue time that the clock may not have seen yet.
        let now = max(host.venueClock.now, price.at)
        if isDue(position), position.wantsExit(policy.rules, price, at: now) { wakeUps() }
    }

    /// Exits wait while the kill switch is engaged, unless it lets them pass (DESIGN rule 14).
    private func isDue(_ held: HeldPosition) -> Bool {
        guard permitsExits else { return false }
        guard held.exit == nil, let last = asked[held.position.market] else { return true }
        return last.net != held.position.netHundredths || host.clock.now.since(last.at) >= interval
    }

    private var permitsExits: Bool {
        let state = host.killSwitch.current.state
        return passesKillSwitch || state.permitsOrders || state == .reduceOnly
    }

    func run() async {
        for await _ in wakeUps.stream {
            do {
                try await look()
            } catch  where !Task.isCancelled {
                // The next wake-up finds the same positions.
                host.log.warning("positions not looked at", metadata: [Key.reason: "\(error)"])
                host.context.metrics.counter("exit_failures_total", "Looks at the open positions that failed.")
                    .increment()
            } catch {}
        }
    }

    private func look() async throws {
        held = try await store.heldPositions()
        asked = asked.filter { held[$0.key] != nil }
        host.context.metrics.gauge("positions_open", "Markets in which something is held.").set(Double(held.count))
        tellHeldBack()
        for (market, position) in held.sorted(by: { $0.key < $1.key }) {
            let now = host.venueClock.now
            guard isDue(position), let price = prices.fresh(market, at: now),
                position.wantsExit(policy.rules, price, at: now)
            else { continue }
            asked[market] = (host.clock.now, position.position.netHundredths)
            guard let item = try await store.askExit(of: market, policy, price: price, at: now) else { continue }
            host.context.metrics.counter(
                "exits_total", "Exits asked for.", labels: ["priority": "\(item.priority)"]
            ).increment()
            host.log.notice(
                "exit requested", metadata: ["market": "\(market)", "intent": "\(item.intent)"])
            await desk.offer(item)
        }
    }
}

extension ExitDesk {
    private static let kind = "exitHeldBack"

    /// What should be sold and is not, because the kill switch is engaged, stays at risk: each is an alert until it is
    /// over (DESIGN rule 14).
    private func tellHeldBack() {
        var wanted: [MarketID: ExitReason] = [:]
        for (market, position) in held where !permitsExits {
            let now = host.venueClock.now
            guard let price = prices.fresh(market, at: now),
                case .sell(_, _, _, let reason) = position.decide(policy.rules, price, at: now)
            else { continue }
            wanted[market] = reason
        }
        for (market, reason) in wanted.sorted(by: { $0.key < $1.key }) where heldBack[market] != reason {
            host.alerts.fire(
                Self.kind, fingerprint: "\(Self.kind):\(market)",
                "The kill switch holds back an exit: the position stays at risk",
                fields: [
                    "market": market.rawValue, "reason": reason.rawValue,
                    "contracts": "\(held[market]?.free ?? .zero)",
                    "cost": "\(held[market]?.position.cost ?? .zero)",
                    "release": "linesman kill-switch release --reason …",
                ])
        }
        for market in heldBack.keys.sorted() where wanted[market] == nil {
            host.alerts.resolve(
                "\(Self.kind):\(market)", kind: Self.kind, "The kill switch holds back no exit of it any more")
        }
        heldBack = wanted
        host.context.metrics.gauge("exits_held_back", "Exits that the kill switch holds back.")
            .set(Double(heldBack.count))
    }
}

extension ExitPolicy {
    init(_ settings: ExitSettings, mode: TradingMode) {
        rules.takeProfit = Int64(settings.takeProfit) * 100
        rules.stopLoss = settings.stopLoss.mapValues { Int64($0) * 100 }
        rules.holdAbove = settings.holdAbove
        rules.slippage = Int64(settings.slippage)
        rules.minimumHold = settings.minimumHold
        rules.bookLimit = settings.priceLife
        life = settings.life
        isShadow = mode == .shadow
    }
}
