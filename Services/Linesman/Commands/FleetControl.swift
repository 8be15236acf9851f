import ArgumentParser
import Foundation
import Hosting
import Runtime

/// What commands that give the orchestrator orders have in common.
struct ControlOptions: ParsableArguments {
    @Option(help: "The orchestrator's status address; orders are taken on its own host only.")
    var url = "http://127.0.0.1:8080"

    /// With CONTROL_TOKEN or CONTROL_TOKEN_FILE.
    @OptionGroup
    var suite: SuiteSettings

    @Flag(help: "Follow it until it is done.")
    var wait = false

    @Option(help: "How long to follow it, in seconds.")
    var within = 120.0

    func validate() throws {
        guard within > 0, within <= 86_400 else {
            throw ValidationError("--within must lie between 0 and 86400 seconds, got \(within)")
        }
    }

    /// - Throws: exit code 78 when there is no token or the settings are wrong.
    func control() throws -> FleetControl {
        let settings = try SuiteSettings.complaining { try suite.read(ControlSettings.init).part }
        if let token = settings.token { return FleetControl(url: url, token: token) }
        Console.complain(
            "no token: set CONTROL_TOKEN or CONTROL_TOKEN_FILE as the orchestrator has it, or name its settings "
                + "file with --config")
        throw ArgumentParser.ExitCode(Runtime.ExitCode.configuration.rawValue)
    }
}

/// Gives the orchestrator orders and looks at what comes of them.
struct FleetControl: Sendable {
    /// Nothing was done, or somebody else must be asked.
    struct Refusal: Error, Hashable, CustomStringConvertible {
        /// As the orchestrator names it; `unreachable` when none answers.
        let code: String
        let message: String

        var description: String { message }

        /// What was asked for is so already.
        var isSatisfied: Bool { ["already_drained", "not_drained", "already_there"].contains(code) }

        /// 78 for a token, 69 for an orchestrator that cannot answer now, else 1.
        var exitCode: Int32 {
            switch code {
            case "no_token", "wrong_token", "no_token_configured", "not_local":
                Runtime.ExitCode.configuration.rawValue
            case "unreachable", "not_leading", "busy", "no_answer_in_time", "not_stored", "not_kept":
                Runtime.ExitCode.unavailable.rawValue
            default: Runtime.ExitCode.failure.rawValue
            }
        }
    }

    struct Accepted: Decodable, Sendable {
        let games: Int
        let withoutRoom: Int
    }

    private struct Body: Decodable {
        let error: String
        let message: String
    }

    /// For what was accepted and did not happen in time, as sysexits has it for "try again later".
    static let unfinished: Int32 = 75
    static let pollInterval = Duration.milliseconds(300)

    let url: String
    let token: Secret
    private let http = LocalHTTP()

    init(url: String, token: Secret) {
        self.url = url
        self.token = token
    }

    /// Gives an order.
    ///
    /// - Throws: `Refusal`.
    func give(_ order: String, _ body: [String: String]) async throws -> Accepted {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let signed = body.merging(["by": NSUserName()]) { mine, _ in mine }
        let json = String(decoding: try encoder.encode(signed), as: UTF8.self)
        do {
            let text = try await http.post(
                "\(url)/control/\(order)", json: json, bearer: token, timeout: .seconds(12))
            return try JSONDecoder().decode(Accepted.self, from: Data(text.utf8))
        } catch let refused as LocalHTTP.Refused {
            throw Self.refusal(status: refused.status, body: refused.body)
        } catch let error as DecodingError {
            throw Refusal(code: "unreadable", message: "the answer cannot be read: \(error)")
        } catch {
            throw Refusal(code: "unreachable", message: "no orchestrator answers at \(url); is the suite running?")
        }
    }

    static func refusal(status: UInt, body: String) -> Refusal {
        if let known = try? JSONDecoder().decode(Body.self, from: Data(body.utf8)) {
            return Refusal(code: known.error, message: known.message)
        }
        // An older build, or another server.
        return Refusal(code: "unexpected", message: "the orchestrator answered \(status): \(body.prefix(200))")
    }

    func status() async throws -> SuiteStatus {
        do {
            return try await http.get("\(url)/status")
        } catch is DecodingError {
            throw Refusal(code: "unreadable", message: "the status cannot be read: is this another build?")
        } catch {
            throw Refusal(code: "unreachable", message: "no orchestrator answers at \(url); is the suite running?")
        }
    }

    /// Looks again and again until `done` gives a result or the time is over; an orchestrator that restarts meanwhile
    /// is waited for.
    func follow<R>(
        within limit: Duration, clock: MachineClock = .real, _ done: (SuiteStatus) -> R?
    ) async throws -> R? {
        let end = clock.now.advanced(by: limit)
        while true {
            if let status = try? await status(), status.fleet.isLeading, let result = done(status) { return result }
            guard clock.now < end else { return nil }
            try await clock.sleep(for: Self.pollInterval)
        }
    }
}

extension FleetControl.Refusal {
    /// Says why and ends the command.
    func end(_ command: String) -> ArgumentParser.ExitCode {
        Console.complain("\(command): \(message)")
        return ArgumentParser.ExitCode(exitCode)
    }
}

extension SuiteStatus {
    func games(on shard: String) -> [Game] { fleet.games.filter { $0.shard == shard } }
}

extension SuiteStatus.Game {
    /// As people name it.
    var title: String { "\(game)  \(name)" }
}
