import Bus
import Domain
import Hosting
import Postgres
import Runtime
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

/// What is refused where no transaction tells of it is written down: few rows, nothing lost (docs/AUDIT.md).
struct RefusalAuditTests {
    /// What nobody can decode as what its channel carries.
    private struct Garbage: WireMessage {
        static let type = SignalMessage.type
        var nonsense = "\0"
    }

    private func publish(_ count: Int, on channel: String = Channels.signals.name, _ path: OrderPath) async throws {
        for _ in 0..<count {
            _ = try await path.bus.publish(Garbage(), on: Channel<Garbage>(channel, Channels.signals.kind))
        }
    }

    /// Rows, and the refusals that they tell of.
    private func audited(
        _ kind: Refusal.Kind, from source: String = Channels.signals.name, _ rig: Rig
    ) async throws -> (rows: Int64, count: Int64) {
        let row = try #require(
            try await rig.pool.first(
                """
                SELECT count(*) AS rows, coalesce(sum((details->>'count')::int8), 0)::int8 AS count FROM audit_log
                WHERE event = 'input_refused' AND details->>'kind' = \(kind.rawValue)
                    AND details->>'from' = \(source)
                """))
        return (try row.int64("rows"), try row.int64("count"))
    }

    @Test func `a flood of garbage makes few rows that count all of it, and the next signal is decided`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            try await publish(300, path)
            try await path.publish(path.rig.signal("good"))
            try await eventually("the good one is approved") {
                try await path.rig.number("SELECT count(*) AS n FROM intents") == 1
            }
            try await path.untilCounted(300, "bus_dead_letters_total", by: "signal-processor")
            try await eventually("the first of them is told") {
                try await audited(.deadLetter, path.rig).rows > 0
            }
            #expect(await path.stop() == [.ok])
            let (rows, count) = try await audited(.deadLetter, path.rig)
            #expect(count == 300 && rows < 30, "\(rows) rows of \(count)")
            let told = try await path.rig.text(
                """
                SELECT concat_ws(' ', details->>'by', details->>'reason' <> '', (details->>'size')::int > 0) AS t
                FROM audit_log WHERE event = 'input_refused' LIMIT 1
                """)
            #expect(told == "signal-processor/1 t t")
        }
    }

    @Test func `garbage that comes while the database is away is written down when it is back`() async throws {
        try await withOrderPath { path in
            let (proxy, url) = try await path.rig.behindProxy()
            let away = try await path.rig.addAwayMarket("game-1")
            path.startSignalProcessor(["DATABASE_URL": url])
            try await publish(1, path)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await eventually("the database is there") { try await audited(.deadLetter, path.rig).count == 1 }
            // Where it stands in a channel the service asks the database, before it hears anything there.
            try await eventually("arbitrages are heard") {
                try await path.rig.number("SELECT count(*) AS n FROM signals") == 2
            }
            try await proxy.refuse()
            try await proxy.reset()
            try await publish(5, on: Channels.arbitrages.name, path)
            try await eventually("they were heard") {
                path.counted("bus_dead_letters_total", by: "signal-processor") == 6
            }
            #expect(try await audited(.deadLetter, from: Channels.arbitrages.name, path.rig).rows == 0)
            try await proxy.listen()
            try await eventually("written") {
                try await audited(.deadLetter, from: Channels.arbitrages.name, path.rig).rows > 0
            }
            #expect(await path.stop() == [.ok])
            #expect(try await audited(.deadLetter, from: Channels.arbitrages.name, path.rig).count == 5)
            try await proxy.close()
        }
    }

    @Test func `a full disk has them when there is room, and a row that is never taken costs none of the others`()
        async throws
    {
        try await withOrderPath { path in
            try await path.rig.pool.execute("CREATE TABLE disk AS SELECT true AS is_full")
            try await path.rig.pool.execute(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.details->>'from' = 'arbitrage:new' THEN
                        RAISE EXCEPTION 'never' USING ERRCODE = 'check_violation';
                    ELSIF NEW.details->>'from' = 'signals:new' AND EXISTS (SELECT FROM disk WHERE is_full) THEN
                        RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
                    END IF;
                    RETURN NEW;
                END $$
                """)
            try await path.rig.pool.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse()")
            path.startSignalProcessor()
            try await publish(3, path)
            try await publish(2, on: Channels.arbitrages.name, path)
            func unwritten() -> Int { path.counted("refusals_unwritten_total", by: "signal-processor") }
            try await eventually("one is given up") { unwritten() > 0 }
            #expect(try await audited(.deadLetter, path.rig).rows == 0)
            try await path.rig.pool.execute("UPDATE disk SET is_full = false")
            try await eventually("there is room") { try await audited(.deadLetter, path.rig).rows > 0 }
            #expect(await path.stop() == [.ok])
            #expect(try await audited(.deadLetter, path.rig).count == 3)
            #expect(unwritten() == 2)
        }
    }

    @Test(arguments: ["disk_full", "query_canceled", "internal_error", "io_error"])
    func `a signal that the server cannot store now waits until it can`(_ trouble: String) async throws {
        try await withOrderPath { path in
            // What a sequence has counted stays counted, whatever becomes of the transaction.
            try await path.rig.pool.execute("CREATE SEQUENCE tries")
            try await path.rig.pool.execute("CREATE TABLE disk AS SELECT true AS is_full")
            try await path.rig.pool.execute(
                SQL(
                    raw: """
                        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                            PERFORM nextval('tries');
                            IF EXISTS (SELECT FROM disk WHERE is_full) THEN
                                RAISE EXCEPTION 'not now' USING ERRCODE = '\(trouble)';
                            END IF;
                            RETURN NEW;
                        END $$
                        """))
            try await path.rig.pool.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON signals FOR EACH ROW EXECUTE FUNCTION refuse()")
            path.startSignalProcessor()
            try await path.publish(path.rig.signal("s1"))
            try await eventually("it is tried again") {
                try await path.rig.number("SELECT last_value AS n FROM tries") >= 3
            }
            try await path.rig.pool.execute("UPDATE disk SET is_full = false")
            try await eventually("it is decided") {
                try await path.rig.text("SELECT verdict AS t FROM signals") == "approved"
            }
            #expect(path.counted("signals_put_aside_total", by: "signal-processor") == 0)
            #expect(await path.stop() == [.ok])
        }
    }

    @Test func `a signal that can never be stored is put aside and written down, and the next one is decided`()
        async throws
    {
        try await withOrderPath { path in
            try await path.rig.pool.execute("ALTER TABLE signals ADD CONSTRAINT none CHECK (signal_id <> 'bad')")
            path.startSignalProcessor()
            try await path.publish(path.rig.signal("bad"))
            try await path.publish(path.rig.signal("good"))
            try await eventually("the good one is approved") {
                try await path.rig.number("SELECT count(*) AS n FROM intents") == 1
            }
            try await path.untilCounted(1, "signals_put_aside_total", by: "signal-processor")
            try await eventually("written") { try await audited(.signalPutAside, path.rig) == (1, 1) }
            let told = try await path.rig.text(
                "SELECT details->>'signal' AS t FROM audit_log WHERE details->>'kind' = 'signal_put_aside'")
            #expect(told == "bad")
        }
    }
}
