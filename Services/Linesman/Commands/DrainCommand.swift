import ArgumentParser
import Resilience
import Runtime

/// `linesman drain SHARD`: the shard gets no more games, and those it has move to others.
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Give a shard no more games and move those it has to others, at the pace of a resync.",
        discussion: """
            A drain holds until --undo, also over restarts of the shard and of the orchestrator. Games that no other \
            shard has room for stay where they are until one has.

            Exit codes: 0 done or accepted, 1 refused, 69 no orchestrator can answer, 75 not finished within --within, \
            78 no token or the wrong one.
            """)

    @Argument(help: "The shard's name, as linesman status shows it.")
    var shard: String

    @Flag(help: "Let the shard have games again.")
    var undo = false

    @OptionGroup
    var options: ControlOptions

    func run() async throws {
        let control = try options.control()
        do {
            if undo { return try await take(back: control) }
            let before = try await control.status().games(on: shard)
            do {
                let accepted = try await control.give("drain", ["shard": shard])
                Console.say(Self.plan(shard, before, accepted))
            } catch let refusal as FleetControl.Refusal where refusal.isSatisfied {
                Console.say("\(shard) is drained already; it has \(Self.count(before.count))")
            }
            if options.wait { try await follow(control, Set(before.map(\.game))) }
        } catch let refusal as FleetControl.Refusal {
            throw refusal.end("drain")
        }
    }

    private func take(back control: FleetControl) async throws {
        do {
            _ = try await control.give("undrain", ["shard": shard])
            Console.say("\(shard) may have games again")
        } catch let refusal as FleetControl.Refusal where refusal.isSatisfied {
            Console.say("\(shard) is not drained")
        }
    }

    /// Until the shard has no game and each of those that it had is watched elsewhere, or over.
    private func follow(_ control: FleetControl, _ moved: Set<String>) async throws {
        let began = MachineClock.real.now
        var left: [SuiteStatus.Game]?
        let isEmpty = try await control.follow(within: .seconds(options.within)) { status -> Bool? in
            let games = Self.unfinished(moved, of: shard, status)
            if games.count != left?.count, !games.isEmpty { Console.say("\(Self.count(games.count)) left") }
            left = games
            return games.isEmpty ? true : nil
        }
        guard isEmpty == nil else {
            let took = began.duration(to: MachineClock.real.now).inSeconds.formatted(decimals: 1)
            return Console.say("\(shard) is empty after \(took) s and may be stopped")
        }
        let names = (left ?? []).prefix(20).map { "\n  \($0.title)" }.joined()
        Console.complain(
            "drain: after \(options.within.formatted(decimals: 0)) s "
                + "\(Self.count(left?.count ?? 0)) of \(shard) not watched elsewhere; they move as soon as there "
                + "is room" + names)
        throw ArgumentParser.ExitCode(FleetControl.unfinished)
    }

    /// Games that are still on the shard, or on their way from it.
    static func unfinished(_ moved: Set<String>, of shard: String, _ status: SuiteStatus) -> [SuiteStatus.Game] {
        let underway = ["waiting", "committing", "commanded", "leaving"]
        return status.fleet.games.filter {
            $0.shard == shard || moved.contains($0.game) && underway.contains($0.state)
        }
    }

    /// What moves, and what waits.
    static func plan(_ shard: String, _ games: [SuiteStatus.Game], _ accepted: FleetControl.Accepted) -> String {
        guard accepted.games > 0 else { return "\(shard) gets no more games; it has none" }
        let move = accepted.games == 1 ? "moves" : "move"
        var lines = ["\(shard) gets no more games; \(count(accepted.games)) \(move) away"]
        lines += games.prefix(20).map { "  \($0.title)" }
        if games.count > 20 { lines.append("  and \(games.count - 20) more") }
        if accepted.withoutRoom > 0 {
            let stay = accepted.withoutRoom == 1 ? "stays" : "stay"
            lines.append("\(accepted.withoutRoom) of them \(stay) until another shard has room")
        }
        return lines.joined(separator: "\n")
    }

    private static func count(_ games: Int) -> String { "\(games) \(games == 1 ? "game" : "games")" }
}
