import Domain
import OrchestratorEngine
import Resilience
import Testing

/// CHECKLIST R53: sports and crypto shards, and who stands in for whom.
@Suite struct KindTests {
    private func beat(_ fleet: inout Fleet, _ shard: ShardID, _ kind: ShardKind, _ number: Int64, capacity: Int = 20) {
        let games = Fleet.watched(fleet, shard).mapValues { Fleet.epoch($0) }
        fleet.send(
            .heartbeat(
                ShardHeartbeat(
                    shard: shard, kind: kind, incarnation: "life-1", startedAt: 1, beat: number, status: .healthy,
                    games: games, capacity: capacity)))
    }

    private func discover(_ fleet: inout Fleet, _ id: GameID, wants: ShardKind) {
        let game = Fleet.game(id, sport: wants == .crypto ? .crypto : .nba)
        let markets = wants == .crypto ? [Fleet.market(game)] : []
        fleet.send(.scoreboard([ScoreboardGame(game: game, status: .live, markets: markets)], at: Fleet.venueNow))
        guard wants == .sports else { return #expect(!fleet.questions.contains(id)) }
        fleet.send(.discovered(id, [Fleet.market(game)], reason: nil))
    }

    @Test func `each kind goes to its own shards`() {
        var fleet = Fleet()
        beat(&fleet, "sports", .sports, 1)
        beat(&fleet, "coins", .crypto, 1)
        discover(&fleet, "slot", wants: .crypto)
        discover(&fleet, "game", wants: .sports)
        #expect(fleet.row("slot")?.shard == "coins")
        #expect(fleet.row("game")?.shard == "sports")
    }

    @Test func `a game of sports never goes to a crypto shard`() {
        var fleet = Fleet()
        beat(&fleet, "coins", .crypto, 1)
        discover(&fleet, "game", wants: .sports)
        fleet.pass(.seconds(1))
        #expect(fleet.row("game")?.state == "waiting")
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a full crypto shard's events go to a sports shard`() {
        var fleet = Fleet()
        beat(&fleet, "sports", .sports, 1)
        beat(&fleet, "coins", .crypto, 1, capacity: 1)
        discover(&fleet, "a-slot", wants: .crypto)
        discover(&fleet, "b-slot", wants: .crypto)
        #expect(fleet.row("a-slot")?.shard == "coins")
        #expect(fleet.row("b-slot")?.shard == "sports")
    }

    @Test func `without a crypto shard a sports shard stands in, and one that appears gets the events in pace`() {
        var fleet = Fleet()
        beat(&fleet, "sports", .sports, 1)
        for number in 0..<8 { discover(&fleet, GameID(stringLiteral: "slot-\(number)"), wants: .crypto) }
        discover(&fleet, "game", wants: .sports)
        #expect(Set(fleet.state.games.map(\.shard)) == ["sports"])
        _ = fleet.take()
        var answered = 0
        for second in 1...26 {
            beat(&fleet, "sports", .sports, Int64(second + 1))
            beat(&fleet, "coins", .crypto, Int64(second), capacity: 5)
            for _ in 1...5 {
                fleet.pass(.milliseconds(100))
                for command in fleet.commands.dropFirst(answered) where !command.isAssignment {
                    fleet.send(
                        .acknowledged(
                            .init(command: command.id, shard: command.shard, game: command.game, verdict: .accepted)))
                }
                answered = fleet.commands.count
            }
            if second < 20 { #expect(fleet.changes.isEmpty, "after \(second) half seconds") }
        }
        // No more than it can hold, and sports stay.
        #expect(fleet.state.games.filter { $0.shard == "coins" }.count == 5)
        #expect(fleet.row("game")?.shard == "sports")
        #expect(fleet.changes.flatMap(\.self).allSatisfy { $0.reason == .rebalanced && $0.to.shard == "coins" })
    }

    @Test func `after a restart what is stood in for comes home, and nothing else moves`() {
        func row(_ id: GameID, _ sport: Sport, on shard: ShardID) -> DesiredGame {
            let game = Fleet.game(id, sport: sport)
            return DesiredGame(
                game: game, status: .live, markets: [Fleet.market(game)], shard: shard, epoch: Fleet.epoch(1))
        }
        var fleet = Fleet(rehydratedWith: [
            row("game", .nba, on: "sports"), row("slot-1", .crypto, on: "sports"), row("slot-2", .crypto, on: "coins"),
            row("slot-3", .crypto, on: "coins"), row("slot-4", .crypto, on: "coins"),
        ])
        var answered = 0
        // None of them is young.
        for number in 101...120 as ClosedRange<Int64> {
            beat(&fleet, "sports", .sports, number)
            beat(&fleet, "coins", .crypto, number, capacity: 3)
            beat(&fleet, "more-coins", .crypto, number)
            fleet.pass(.seconds(1))
            for command in fleet.commands.dropFirst(answered) where !command.isAssignment {
                fleet.send(
                    .acknowledged(
                        .init(command: command.id, shard: command.shard, game: command.game, verdict: .accepted)))
            }
            answered = fleet.commands.count
        }
        let moves = fleet.changes.flatMap(\.self).map { "\($0.game.id) to \($0.to.shard)" }
        #expect(moves == ["slot-1 to more-coins"])
    }
}
