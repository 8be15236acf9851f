import ArgumentParser
import Resilience
import Runtime

/// `linesman reassign GAME`: another shard watches the game, under the next epoch.
struct ReassignCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reassign",
        abstract: "Move one game to another shard, under the next epoch.",
        discussion: """
            Without --to the shard with the most free capacity takes it. The old shard stops first, so the game is not \
            traded for a moment.

            Exit codes: 0 done or accepted, 1 refused, 69 no orchestrator can answer, 75 not finished within --within, \
            78 no token or the wrong one.
            """)

    @Argument(help: "The game's id, as linesman status shows it.")
    var game: String

    @Option(help: "The shard that shall watch it.")
    var to: String?

    @OptionGroup
    var options: ControlOptions

    func run() async throws {
        let control = try options.control()
        do {
            let before = try await control.status().fleet.games.first { $0.game == game }
            var body = ["game": game]
            body["to"] = to
            do {
                _ = try await control.give("reassign", body)
            } catch let refusal as FleetControl.Refusal where refusal.isSatisfied {
                return Console.say("\(before?.title ?? game) is watched by \(to ?? "another shard") already")
            }
            let target = to ?? "the shard with the most room"
            Console.say("\(before?.title ?? game) leaves \(before?.shard ?? "its shard") for \(target)")
            if options.wait { try await follow(control, from: before) }
        } catch let refusal as FleetControl.Refusal {
            throw refusal.end("reassign")
        }
    }

    private func follow(_ control: FleetControl, from before: SuiteStatus.Game?) async throws {
        let began = MachineClock.real.now
        let outcome = try await control.follow(within: .seconds(options.within)) {
            Self.outcome(of: game, since: before?.epoch ?? 0, $0)
        }
        guard let outcome else {
            Console.complain(
                "reassign: after \(options.within.formatted(decimals: 0)) s no other shard has taken it: see linesman "
                    + "status")
            throw ArgumentParser.ExitCode(FleetControl.unfinished)
        }
        let took = began.duration(to: MachineClock.real.now).inSeconds.formatted(decimals: 1)
        Console.say("\(outcome) after \(took) s")
    }

    /// Nil while it is on its way.
    static func outcome(of game: String, since epoch: Int64, _ status: SuiteStatus) -> String? {
        guard let now = status.fleet.games.first(where: { $0.game == game }) else { return "\(game) has ended" }
        guard now.state == "watched", let shard = now.shard, let newest = now.epoch, newest > epoch else { return nil }
        return "\(game) is watched by \(shard) under epoch \(newest)"
    }
}
