import Bus
import Domain
import Foundation
import NIOConcurrencyHelpers
import Postgres
import Wire

/// Signals of owners that are owners no more: sent on purpose, and judged by what the database holds in the end.
///
/// A well-behaved shard says little after it was replaced, so a count of nothing would prove nothing. Each stale signal
/// has a twin that differs in its owner only: what refuses the one and takes the other is the epoch.
public struct StaleShouts: Sendable {
    /// What the database says in the end.
    public struct Verdicts: Sendable {
        /// Sent under an owner and epoch that were replaced.
        public var stale = 0
        /// Of those, what was refused, and for that reason alone.
        public var staleRefused = 0
        /// Twins sent under the present owner and epoch, and those that were approved.
        public var twins = 0
        public var twinsApproved = 0
        /// Refused signals of the shards themselves, which did not know better.
        public var ownRefused = 0
        /// Reservations with their intent that were looked at as they were committed.
        public var reservations = 0
        /// Reservations under an epoch or owner that was not the present one at that moment.
        public var accepted = 0
        /// Whether a stale reservation that was made on purpose, around the suite, was seen.
        public var isSighted = false
        /// Everything by verdict, for reports.
        public var all: [String: Int] = [:]

        public init() {}
    }

    private let fleet: FaultyFleet
    private let sent = NIOLockedValueBox(0)

    public init(fleet: FaultyFleet) { self.fleet = fleet }

    /// Has the database look at each intent as its transaction commits: no clock is compared.
    public func watch() async throws {
        try await fleet.database.execute(
            """
            CREATE TABLE rehearsal_intents (intent_id text PRIMARY KEY, epoch bigint NOT NULL, is_stale bool NOT NULL)
            """)
        try await fleet.database.execute(
            """
            CREATE FUNCTION rehearsal_look() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO rehearsal_intents SELECT NEW.intent_id, NEW.epoch, NOT EXISTS (
                    SELECT FROM assignments a JOIN signals s ON s.signal_id = NEW.signal_id
                    WHERE a.game_id = NEW.game_id AND a.epoch = NEW.epoch AND a.shard = s.shard
                        AND a.state = 'assigned');
                RETURN NULL;
            END $$
            """)
        try await fleet.database.execute(
            """
            CREATE CONSTRAINT TRIGGER rehearsal_look AFTER INSERT ON intents DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION rehearsal_look()
            """)
    }

    /// Shouts for a game as its last owner would, and says the same as the present one.
    ///
    /// - Returns: false when the game has had no signal to go by.
    public func shout(_ game: GameID, as stale: (ShardID, Epoch), and present: (ShardID, Epoch)) async throws -> Bool {
        guard let signal = fleet.watch.signal(about: game) else { return false }
        let number = sent.withLockedValue { number in
            number += 1
            return number
        }
        for (prefix, (shard, epoch)) in [("stale", stale), ("twin", present)] {
            let now = VenueInstant.epoch.advanced(by: .microseconds(Int64(Date().timeIntervalSince1970 * 1e6)))
            let copy = try Signal(
                id: SignalID("\(prefix)-\(number)"), kind: signal.kind, game: game, sport: signal.sport,
                market: signal.market, venue: signal.venue, epoch: epoch, shard: shard, outcome: signal.outcome,
                probability: signal.probability, price: signal.price, available: signal.available,
                edgeBasisPoints: signal.edgeBasisPoints, play: signal.play, createdAt: now,
                expiresAt: now.advanced(by: .seconds(60)))
            _ = try await fleet.station.bus.publish(SignalMessage(signal: copy), on: Channels.signals)
        }
        return true
    }

    /// How many stale signals were sent.
    public var count: Int { sent.withLockedValue { $0 } }

    /// How many of the shouts and twins have a verdict.
    public func judged() async throws -> Int {
        try await fleet.database.first(
            "SELECT count(*) AS n FROM signals WHERE signal_id LIKE 'stale-%' OR signal_id LIKE 'twin-%'"
        )?.int("n") ?? 0
    }

    public func verdicts() async throws -> Verdicts {
        var verdicts = Verdicts()
        let rows = try await fleet.database.query(
            """
            SELECT CASE WHEN signal_id LIKE 'stale-%' THEN 'stale' WHEN signal_id LIKE 'twin-%' THEN 'twin'
                ELSE 'own' END AS sender, verdict, count(*) AS n
            FROM signals GROUP BY 1, 2 ORDER BY 1, 2
            """)
        for row in rows {
            let (sender, verdict, count) = (try row.text("sender"), try row.text("verdict"), try row.int("n"))
            verdicts.all["\(sender) \(verdict)"] = count
            switch (sender, verdict) {
            case ("stale", "stale_epoch"): verdicts.staleRefused += count
            case ("twin", "approved"): verdicts.twinsApproved += count
            case ("own", "stale_epoch"): verdicts.ownRefused += count
            default: break
            }
            if sender == "stale" { verdicts.stale += count }
            if sender == "twin" { verdicts.twins += count }
        }
        let looked = try await fleet.database.first(
            "SELECT count(*) AS n, count(*) FILTER (WHERE is_stale) AS stale FROM rehearsal_intents")
        verdicts.reservations = try looked?.int("n") ?? 0
        verdicts.accepted = try looked?.int("stale") ?? 0
        verdicts.isSighted = try await isSighted()
        return verdicts
    }

    private struct Undone: Error {}

    /// The control: an intent under an epoch that never was is made by hand, seen, and undone.
    private func isSighted() async throws -> Bool {
        let seen = NIOLockedValueBox(false)
        do {
            try await fleet.database.transaction("control") { transaction in
                try await transaction.execute(
                    """
                    INSERT INTO signals SELECT 'control', game_id, market_id, shard, epoch, kind, outcome,
                        model_probability, price, edge_basis_points, play_id, venue_created_at, venue_expires_at, trace,
                        verdict, now() FROM signals WHERE verdict = 'approved' LIMIT 1
                    """)
                try await transaction.execute(
                    """
                    INSERT INTO intents (intent_id, signal_id, game_id, market_id, epoch, outcome, action, limit_price,
                        quantity, venue_expires_at, expires_at, trace)
                    SELECT 'control', 'control', game_id, market_id, epoch + 1000000, outcome, 'sell', price, 100, 0,
                        now(), '' FROM signals WHERE signal_id = 'control'
                    """)
                try await transaction.execute("SET CONSTRAINTS ALL IMMEDIATE")
                let row = try await transaction.first(
                    "SELECT is_stale FROM rehearsal_intents WHERE intent_id = 'control'")
                let isStale = try row?.bool("is_stale") ?? false
                seen.withLockedValue { $0 = isStale }
                throw Undone()
            }
        } catch is Undone {}
        return seen.withLockedValue { $0 }
    }
}
