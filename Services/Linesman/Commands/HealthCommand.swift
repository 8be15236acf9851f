import ArgumentParser
import Foundation
import Runtime

/// `linesman health`: what one process answers to the question whether it is well, as an exit code.
///
/// For container health checks: the image needs no other program for them.
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Ask one process whether it lives, or with --path anything else.")

    @Option(help: "The process's own address: STATUS_PORT of an orchestrator, SERVICE_STATUS_PORT of another service.")
    var url = "http://127.0.0.1:8080"

    @Option(help: "What to ask; /readyz is well only when every check is.")
    var path = "/healthz"

    func run() async throws {
        do {
            let answer = try await LocalHTTP().text(url + path)
            Console.say(answer.trimmingCharacters(in: .whitespacesAndNewlines))
        } catch let refused as LocalHTTP.Refused {
            Console.complain("health: \(refused)")
            throw ArgumentParser.ExitCode(1)
        } catch {
            Console.complain("health: no process answers at \(url)")
            throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
        }
    }
}
