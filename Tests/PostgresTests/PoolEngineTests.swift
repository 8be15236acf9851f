import Resilience
import Testing

@testable import Postgres

/// The pool's decisions on a clock of their own: no server, no threads.
@Suite struct PoolEngineTests {
    /// Drives an engine, and checks after every step what must always hold.
    private struct Rig {
        var engine: PoolEngine
        var now = MachineInstant.origin
        var holders: [Int: Int] = [:]
        var asked: [Int: MachineInstant] = [:]
        var served: [(waiter: Int, wait: Duration)] = []
        var failed: [Int: PoolEngine.Refusal] = [:]
        var opening: [Int] = []
        var open: Set<Int> = []
        var leaks: [Int] = []
        let most: Int

        init(most: Int, _ change: (inout PostgresSettings) -> Void = { _ in }) throws {
            var settings = try PostgresSettings(url: "host=/nowhere")
            settings.maxConnections = most
            settings.minConnections = 0
            change(&settings)
            self.most = most
            engine = PoolEngine(settings, at: now)
        }

        mutating func ask(_ waiter: Int, timeout: Duration = .seconds(30)) {
            asked[waiter] = now
            let (answer, effects) = engine.ask(waiter, .named("w\(waiter)"), timeout: timeout, at: now)
            carryOut(effects)
            switch answer {
            case .lent(let connection, _): serve(waiter, connection)
            case .refused(let refusal): failed[waiter] = refusal
            case .waits: break
            }
        }

        mutating func giveBack(_ connection: Int, isSound: Bool = true) {
            holders[connection] = nil
            carryOut(engine.giveBack(connection, isSound: isSound, at: now))
        }

        mutating func openAll() {
            while let id = opening.popLast() {
                open.insert(id)
                carryOut(engine.opened(id, expiresAt: now.advanced(by: .seconds(1800)), at: now))
            }
        }

        mutating func carryOut(_ effects: [PoolEngine.Effect]) {
            for effect in effects {
                switch effect {
                case .open(let id): opening.append(id)
                case .close(let id): open.remove(id)
                case .lend(let id, let waiter, _): serve(waiter, id)
                case .fail(let waiter, let refusal): failed[waiter] = refusal
                case .probe(let id): carryOut(engine.probed(id, isSound: true, at: now))
                case .reportLeak(let id): leaks.append(id)
                }
            }
            precondition(open.count + opening.count <= most, "\(open.count) open, \(opening.count) opening")
        }

        private mutating func serve(_ waiter: Int, _ connection: Int) {
            precondition(holders[connection] == nil, "connection \(connection) is lent twice")
            holders[connection] = waiter
            let since = asked.removeValue(forKey: waiter) ?? now
            served.append((waiter, now.since(since)))
        }
    }

    @Test func `two hundred waiting on twenty are served in the order of asking, and none waits for thrice the median`()
        async throws
    {
        var rig = try Rig(most: 20)
        var random = SeededGenerator(seed: 4)
        // Everybody asks again as soon as it has been served; each lease takes a millisecond or two.
        for waiter in 0..<220 { rig.ask(waiter) }
        rig.openAll()
        var next = 220
        var ends = rig.holders.keys.map { (connection: $0, at: rig.now) }
        for round in 0..<20_000 {
            // The other tests need the threads as well.
            if round.isMultiple(of: 100) { await Task.yield() }
            ends.sort { ($0.at, $0.connection) < ($1.at, $1.connection) }
            let (connection, at) = ends.removeFirst()
            rig.now = max(rig.now, at)
            rig.giveBack(connection)
            let length = Duration.microseconds(Int64.random(in: 1000...2000, using: &random))
            ends.append((connection, rig.now.advanced(by: length)))
            rig.ask(next)
            next += 1
        }
        let order = rig.served.map(\.waiter)
        #expect(order == order.sorted(), "somebody was overtaken")
        let waits = rig.served.dropFirst(1000).map(\.wait).sorted()
        let (median, longest) = (waits[waits.count / 2], try #require(waits.last))
        #expect(longest <= median * 3, "median \(median), longest \(longest)")
        #expect(rig.engine.waitingCount == 200)
    }

    @Test(arguments: [1 as UInt64, 2, 3])
    func `no wake-up is lost in a million leases`(seed: UInt64) async throws {
        var rig = try Rig(most: 8)
        var random = SeededGenerator(seed: seed)
        var next = 0
        let goal = 1_000_000 / 3
        while rig.served.count < goal {
            rig.now = rig.now.advanced(by: .microseconds(50))
            if next.isMultiple(of: 1000) { await Task.yield() }
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<48:
                if rig.engine.waitingCount < 100 {
                    rig.ask(next)
                    next += 1
                }
            case 48..<97:
                if let connection = rig.holders.keys.min() {
                    rig.giveBack(connection, isSound: Int.random(in: 0..<200, using: &random) > 0)
                }
            case 97:
                if let waiter = rig.asked.keys.min() {
                    rig.engine.leave(waiter)
                    rig.asked[waiter] = nil
                }
            case 98:
                if let connection = rig.open.subtracting(rig.holders.keys).min() {
                    rig.carryOut(rig.engine.ended(connection, at: rig.now))
                }
            default: rig.openAll()
            }
        }
        // With everything given back, nobody may be left waiting.
        while !rig.holders.isEmpty || !rig.opening.isEmpty {
            rig.openAll()
            for connection in rig.holders.keys.sorted() { rig.giveBack(connection) }
        }
        #expect(rig.engine.waitingCount == 0)
        #expect(rig.asked.isEmpty)
        #expect(rig.failed.isEmpty)
    }

    @Test func `who waits too long fails at the deadline and the others stay`() throws {
        var rig = try Rig(most: 1)
        rig.ask(1)
        rig.openAll()
        rig.ask(2, timeout: .seconds(1))
        rig.ask(3, timeout: .seconds(5))
        #expect(rig.engine.nextWake == .origin.advanced(by: .seconds(1)))
        rig.now = rig.now.advanced(by: .seconds(1))
        rig.carryOut(rig.engine.timeHasCome(at: rig.now))
        #expect(rig.failed == [2: .timedOut(after: .seconds(1))])
        #expect(rig.engine.nextWake == .origin.advanced(by: .seconds(5)))
        #expect(rig.engine.waitingCount == 1)
    }

    @Test func `a connection that did not answer takes the equally silent ones with it`() throws {
        var rig = try Rig(most: 3)
        for waiter in 1...3 { rig.ask(waiter) }
        rig.openAll()
        for connection in rig.holders.keys.sorted() { rig.giveBack(connection) }
        rig.now = rig.now.advanced(by: .seconds(40))
        let (answer, _) = rig.engine.ask(4, .named("w4"), timeout: .seconds(30), at: rig.now)
        guard case .lent(let connection, mustValidate: true) = answer else {
            Issue.record("\(answer)")
            return
        }
        rig.carryOut(rig.engine.doubted(connection, at: rig.now))
        #expect(rig.open == [connection])
    }

    @Test func `a lease that is held for long is reported once`() throws {
        var rig = try Rig(most: 2) { $0.leakReport = .seconds(10) }
        rig.ask(1)
        rig.openAll()
        for _ in 0..<30 {
            rig.now = rig.now.advanced(by: .seconds(1))
            rig.carryOut(rig.engine.maintain(at: rig.now))
        }
        #expect(rig.leaks == Array(rig.holders.keys))
    }

    @Test func `a probe keeps a connection alive without making it less idle`() throws {
        var rig = try Rig(most: 2) {
            $0.keepAlive = .seconds(10)
            $0.idleTimeout = .seconds(25)
        }
        rig.ask(1)
        rig.openAll()
        let connection = try #require(rig.holders.keys.first)
        rig.giveBack(connection)
        for _ in 0..<2 {
            rig.now = rig.now.advanced(by: .seconds(11))
            rig.carryOut(rig.engine.maintain(at: rig.now))
            #expect(rig.open == [connection])
        }
        rig.now = rig.now.advanced(by: .seconds(4))
        rig.carryOut(rig.engine.maintain(at: rig.now))
        #expect(rig.open.isEmpty)
    }
}
