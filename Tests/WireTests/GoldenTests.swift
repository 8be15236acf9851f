import Domain
import Foundation
import Testing
import Wire

/// Every message, held against the bytes that other versions of a process have written.
///
/// A file of `Golden/` is never edited: a message that changes gets a new version and a new file beside the old one,
/// and both must decode.
@Suite struct GoldenTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    static func encode<M: WireMessage>(_ message: M) throws -> String {
        let envelope = Envelope(
            source: "game-shard/shard-01", incarnation: "0b8f", sequence: 7, trace: "trace-1",
            sentAt: 1_776_726_799_000_000, body: message)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(envelope), as: UTF8.self) + "\n"
    }

    static func check<M: WireMessage & Equatable>(_ message: M) throws {
        let text = try encode(message)
        let file = folder.appending(path: "\(M.type).v\(M.version).json")
        if ProcessInfo.processInfo.environment["LINESMAN_WRITE_GOLDEN"] == "1",
            !FileManager.default.fileExists(atPath: file.path)
        {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let golden = try String(contentsOf: file, encoding: .utf8)
        #expect(text == golden, "\(file.lastPathComponent) no longer says what is written")
        let decoded = try JSONDecoder().decode(Envelope<M>.self, from: Data(golden.utf8))
        #expect(decoded.body == message)
        #expect(decoded.sequence == 7 && decoded.source == "game-shard/shard-01" && decoded.trace == "trace-1")
        var written: [UInt8] = []
        guard message.write(to: &written) else { return #expect(written.isEmpty) }
        let body =
            try #require(
                JSONSerialization.jsonObject(with: Data(golden.utf8)) as? [String: Any])["body"] as? NSDictionary
        #expect(try JSONSerialization.jsonObject(with: Data(written)) as? NSDictionary == body, "\(M.type) by hand")
        #expect(read(written) == message)
    }

    private static func read<M: WireMessage>(_ bytes: [UInt8]) -> M? {
        bytes.withUnsafeBytes { bytes in
            var scanner = WireScanner(bytes)
            let message = M(laidOutIn: &scanner)
            return scanner.isAtEnd ? message : nil
        }
    }

    @Test func `what is written by hand is what Foundation writes, whatever is in it`() throws {
        func check<M: WireMessage & Equatable>(_ message: M, isReadByHand: Bool = true) throws {
            var written: [UInt8] = []
            #expect(message.write(to: &written))
            #expect(try JSONDecoder().decode(M.self, from: Data(written)) == message)
            let (ours, theirs) = (Data(written), try JSONEncoder().encode(message))
            #expect(
                try JSONSerialization.jsonObject(with: ours) as? NSDictionary
                    == JSONSerialization.jsonObject(with: theirs) as? NSDictionary)
            #expect((Self.read(written) == message) == isReadByHand)
        }
        func signal(_ chance: Double, edge: Int = 0, play: PlayID? = nil) throws -> SignalMessage {
            SignalMessage(
                signal: try Signal(
                    id: "0b8f-1", kind: .modelEdgeNo, game: "g", sport: .nfl, market: "m/<&>", venue: .polymarket,
                    epoch: Epoch(.max / 100), shard: "s", outcome: .no, probability: Probability(chance),
                    price: Price(tenThousandths: 1), available: Quantity(hundredths: 1), edgeBasisPoints: edge,
                    play: play, createdAt: Samples.at, expiresAt: Samples.at.advanced(by: .microseconds(1))))
        }
        for chance in [0, 1, 0.5, 0.1 + 0.2, 1.0 / 3, 0.9999999999999999] {
            try check(signal(chance, edge: 10_000, play: "p"))
        }
        // Shorter than nothing: an exponent, and a sign, are left to Foundation.
        try check(signal(1e-7), isReadByHand: false)
        try check(signal(0.25, edge: -1), isReadByHand: false)
        let level = try BookLevel(price: .cents(99), quantity: .contracts(1))
        for (bid, ask) in [(level, nil), (nil, level), (level, level), (nil, nil)] as [(BookLevel?, BookLevel?)] {
            try check(PriceUpdate(game: "g", market: "m", yesBid: bid, yesAsk: ask, at: .epoch))
        }
        try check(IntentMessage(intent: try Samples.intent()))
        try check(IntentHint(intent: try Samples.intent()))
        func order(_ average: Price?, fees: String, reason: String?) throws -> OrderUpdate {
            OrderUpdate(
                order: "o", intent: "i", game: "g", market: "m", outcome: .no, action: .sell, limit: .cents(1),
                quantity: .contracts(1), filled: .zero, averagePrice: average, fees: try Money(dollars: fees),
                state: .unknown, reason: reason)
        }
        try check(order(nil, fees: "0", reason: nil))
        try check(order(.cents(1), fees: "0.000001", reason: "no_answer"))
        try check(order(nil, fees: "0", reason: "a\"b\\c\n\u{1F}é"), isReadByHand: false)
        try check(order(nil, fees: "-1", reason: nil), isReadByHand: false)
    }

    @Test func `fleet messages equal their golden files`() throws {
        let game = try Samples.game()
        let assignment = GameAssignment(
            game: game, markets: [try Samples.market()], epoch: try Epoch(3),
            pregameHomeProbability: try Probability(0.75))
        try Self.check(
            Heartbeat(
                service: "game-shard", instance: "shard-01", incarnation: "0b8f", processID: 4_242,
                startedAt: 1_776_726_000_000_000, beat: 12, status: .healthy,
                checks: ["redis": true, "database": false],
                metrics: ["signals_total": 3], games: [.init(game: game.id, epoch: try Epoch(3))], capacity: 20,
                shardType: "sports", build: "dev"))
        try Self.check(ShardCommand(id: "command-1", shard: "shard-01", order: .assign(assignment)))
        try Self.check(
            CommandAcknowledgement(
                command: "command-1", shard: "shard-01", game: game.id, epoch: try Epoch(3), verdict: .accepted))
        try Self.check(LeaseGrant(shard: "shard-01", incarnation: "0b8f", beat: 12, term: 2))
        try Self.check(DiscoveryRequest(id: "command-2", game: game))
        try Self.check(
            DiscoveryResult(request: "command-2", game: game.id, markets: [try Samples.market()], reason: nil))
        try Self.check(
            ServiceNotification(
                kind: .serviceDead, service: "game-shard", instance: "shard-01", detail: ["games": "2"]))
        try Self.check(SequenceMark(lost: 3, age: 1_500_000))
        try Self.check(
            MarketAssignment(
                game: game, markets: [try Samples.market()], shard: "shard-01", epoch: try Epoch(3), reason: "first"))
        try Self.check(StartupStateRequest(id: "command-3", asker: .gameShard, shard: "shard-01"))
        try Self.check(
            StartupState(
                request: "command-3", term: 2, answer: 1, part: 1, parts: 1,
                games: [.init(shard: "shard-01", assignment: assignment)]))
    }

    @Test func `trading messages equal their golden files`() throws {
        try Self.check(
            GameStateUpdate(
                state: try Samples.state(), shard: "shard-01", epoch: try Epoch(3),
                homeProbability: try Probability(0.8125)))
        try Self.check(
            PriceUpdate(
                game: "401869369", market: Samples.ticker,
                yesBid: try BookLevel(price: .cents(79), quantity: .contracts(40)), yesAsk: nil, at: Samples.at))
        try Self.check(GameEnded(game: "401869369", status: .final, homeScore: 115, awayScore: 105, at: Samples.at))
        try Self.check(SignalMessage(signal: try Samples.signal()))
        try Self.check(IntentMessage(intent: try Samples.intent()))
        try Self.check(IntentHint(intent: try Samples.intent()))
        try Self.check(ArbitrageMessage(signal: try Samples.arbitrage()))
        try Self.check(PlanMessage(plan: try Samples.plan()))
        try Self.check(
            PlanResult(
                plan: "9ab3", game: "401869369", ending: "partial", pairs: .contracts(20),
                result: try Money(dollars: "0.412500"), nakedMilliseconds: 1_250, orders: 6))
        try Self.check(
            OrderUpdate(
                order: "3f1c", intent: "9ab2", game: "401869369", market: Samples.ticker, outcome: .yes, action: .buy,
                limit: .cents(80), quantity: .contracts(12), filled: .contracts(12), averagePrice: .cents(80),
                fees: try Money(dollars: "0.134400"), state: .filled, reason: nil))
        var position = Position(market: Samples.ticker)
        position.apply(try Samples.fill())
        try Self.check(PositionUpdate(position: position, game: "401869369", state: "open", settlement: nil))
        try Self.check(KillSwitchChange(engaged: true, reason: "daily loss", by: "execution-service/1"))
        try Self.check(RulesChanged())
        try Self.check(
            SystemAlert(
                id: "alert-1", kind: "databaseConnectivityIssue", fingerprint: "database", state: .firing,
                summary: "PostgreSQL does not answer", detail: ["attempts": "3"], at: 1_776_726_799_000_000))
        try Self.check(AlertAcknowledgement(ids: ["alert-1", "alert-2"]))
    }

    /// The types and versions that `Shared/Wire` declares, read from its source: a message nobody thought of here too.
    private static func declared() throws -> [String: Int] {
        let sources = folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Shared/Wire")
        var declared: [String: Int] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: sources.path) where file.hasSuffix(".swift") {
            let text = try String(contentsOf: sources.appending(path: file), encoding: .utf8)
            var type: String?
            for line in text.split(separator: "\n") {
                if let match = line.firstMatch(of: /public static let type = "([a-z_]+)"/) {
                    type = String(match.output.1)
                    declared[String(match.output.1)] = 1
                } else if let type, let match = line.firstMatch(of: /public static let version = ([0-9]+)/) {
                    declared[type] = Int(match.output.1)
                }
            }
        }
        return declared
    }

    @Test func `every message has a golden file for each of its versions, and every file its message`() throws {
        let files = Set(
            try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).filter { $0.hasSuffix(".json") })
        let declared = try Self.declared()
        #expect(declared.count >= 18 && Set(declared.keys) == Samples.types)
        let expected = declared.flatMap { type, version in (1...version).map { "\(type).v\($0).json" } }
        #expect(files == Set(expected))
    }

    @Test func `unknown fields are passed over, and optional ones may be missing`() throws {
        let golden = try String(contentsOf: Self.folder.appending(path: "heartbeat.v1.json"), encoding: .utf8)
        var object = try #require(try JSONSerialization.jsonObject(with: Data(golden.utf8)) as? [String: Any])
        var body = try #require(object["body"] as? [String: Any])
        let optional = ["capacity", "shard_type"]
        for field in optional { #expect(body.removeValue(forKey: field) != nil, "\(field)") }
        body["invented_later"] = ["a": [1, 2], "b": NSNull()]
        object["body"] = body
        object["invented_later"] = "x"
        object["trace"] = nil
        let data = try JSONSerialization.data(withJSONObject: object)
        let decoded = try JSONDecoder().decode(Envelope<Heartbeat>.self, from: data)
        #expect(decoded.body.capacity == nil && decoded.body.shardType == nil && decoded.trace == nil)
        #expect(decoded.body.beat == 12)
        for field in ["service", "beat", "status"] {
            var less = body
            less[field] = nil
            object["body"] = less
            let data = try JSONSerialization.data(withJSONObject: object)
            #expect(throws: DecodingError.self) { try JSONDecoder().decode(Envelope<Heartbeat>.self, from: data) }
        }
    }

    @Test func `a heartbeat may say how many books of a game are missing`() throws {
        let game = Heartbeat.WatchedGame(game: "401869369", epoch: try Epoch(3), missingBooks: 2)
        let text = String(decoding: try JSONEncoder().encode(game), as: UTF8.self)
        #expect(text.contains("\"missing_books\":2"))
        #expect(try JSONDecoder().decode(Heartbeat.WatchedGame.self, from: Data(text.utf8)) == game)
        // As earlier versions say it.
        let less = try JSONDecoder().decode(
            Heartbeat.WatchedGame.self, from: Data(#"{"game":"401869369","epoch":3}"#.utf8))
        #expect(less.missingBooks == nil)
    }

    @Test func `another type, a newer version and a bad sequence are refused by name`() throws {
        let text = try Self.encode(RulesChanged())
        func decode(_ text: String) throws {
            _ = try JSONDecoder().decode(Envelope<RulesChanged>.self, from: Data(text.utf8))
        }
        try decode(text)
        let cases: [(String, String, WireError.Code)] = [
            ("\"rules_changed\"", "\"signal\"", .wrongType), ("\"v\" : 1", "\"v\" : 2", .unknownVersion),
            ("\"seq\" : 7", "\"seq\" : 0", .badSequence),
        ]
        for (from, to, code) in cases {
            let error = #expect(throws: WireError.self) { try decode(text.replacingOccurrences(of: from, with: to)) }
            #expect(error?.code == code)
        }
    }
}
