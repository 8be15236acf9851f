import ArgumentParser
import Foundation
import Runtime
import Servers

/// What a healer must know to undo a fault without whoever made it.
struct HealingPlan: Codable, Sendable {
    let undo: [CommandLineWords]
    /// When nobody has asked by then.
    let afterSeconds: Double
}

/// A process of its own that undoes a fault: when it is asked to, when the driver is gone, or when its time has come.
///
/// Armed before the fault is made. It holds the other end of a pipe: the pipe's end is the driver's.
final class Healer: Sendable {
    private let process: Process
    private let pipe: Pipe
    private let plan: String
    private let clock: MachineClock

    /// - Throws: when it cannot be started; then nothing may be broken.
    static func arm(undoing undo: [CommandLineWords], after limit: Duration, clock: MachineClock) throws -> Healer {
        let path = NSTemporaryDirectory() + "linesman-heal-\(UUID().uuidString).json"
        let plan = HealingPlan(undo: undo, afterSeconds: limit.inSeconds)
        try JSONEncoder().encode(plan).write(to: URL(filePath: path), options: .atomic)
        let process = Process()
        // This very program, whatever it is called.
        process.executableURL = URL(
            filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        process.arguments = ["chaos-heal", path]
        let pipe = Pipe()
        process.standardInput = pipe
        try process.run()
        return Healer(process, pipe, plan: path, clock: clock)
    }

    private init(_ process: Process, _ pipe: Pipe, plan: String, clock: MachineClock) {
        self.process = process
        self.pipe = pipe
        self.plan = plan
        self.clock = clock
    }

    /// Asks it to heal now, and waits until it has; again is nothing.
    ///
    /// - Throws: `ChaosFailure` when it could not.
    func heal() async throws {
        // Closed is asked, for the healer as for whoever is killed.
        try? pipe.fileHandleForWriting.close()
        while process.isRunning { try await clock.sleep(for: .milliseconds(20)) }
        guard process.terminationStatus == 0 else {
            throw ChaosFailure("the healer ended with \(process.terminationStatus); its commands are in \(plan)")
        }
        // Kept only for a person who must do it by hand.
        try? FileManager.default.removeItem(atPath: plan)
    }
}

/// `linesman chaos-heal PLAN`: waits on its standard input, then undoes a fault.
struct ChaosHealCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos-heal", abstract: "Undo a fault that `linesman chaos` has made.", shouldDisplay: false)

    @Argument var plan: String

    func run() async throws {
        // Signals to the driver's group, as from a terminal, are not for the healer.
        setsid()
        for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
        let plan = try JSONDecoder().decode(HealingPlan.self, from: Data(contentsOf: URL(filePath: plan)))
        Self.wait(atMost: plan.afterSeconds)
        var failed = false
        for command in plan.undo where await !Self.isDone(command) { failed = true }
        if failed { throw ArgumentParser.ExitCode(1) }
    }

    /// Until the pipe's other end is closed, or anything comes through it, or the time is over.
    private static func wait(atMost seconds: Double) {
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        _ = poll(&input, 1, Int32(min(seconds * 1_000, Double(Int32.max))))
    }

    private static func isDone(_ command: CommandLineWords) async -> Bool {
        guard let program = command.first else { return true }
        for attempt in 1...5 {
            let ran = try? await ChildProcess.run(program, Array(command.dropFirst()), timeout: .seconds(60))
            if ran?.status.isSuccess == true { return true }
            // Cancelled only with the process.
            if attempt < 5 { try? await MachineClock.real.sleep(for: .seconds(1)) }
        }
        return false
    }
}
