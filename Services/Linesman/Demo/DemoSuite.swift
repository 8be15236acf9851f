import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers

/// One process of the suite: how it is started, and what became of it.
struct DemoProcess: Sendable {
    let name: String
    let executable: String
    let environment: [String: String]
    /// Whether a crash is answered with a restart; the simulator's is not, since its account would be lost.
    let mayRestart: Bool
}

/// The processes of a demo: started, restarted after a crash within a budget, measured, and stopped.
actor DemoSuite {
    private struct Member {
        let process: DemoProcess
        var child: ChildProcess
        var restarts = 0
        var peakMegabytes = 0.0
        var lastExit: ChildProcess.ExitStatus?
    }

    /// A process that ended and is not restarted.
    struct Ended: Error, CustomStringConvertible {
        let description: String
    }

    private static let restartBudget = 5
    private let logs: String
    private let clock: MachineClock
    private var members: [Member] = []
    private var isStopping = false

    init(logs: String, clock: MachineClock) {
        self.logs = logs
        self.clock = clock
    }

    func start(_ process: DemoProcess) throws {
        members.append(Member(process: process, child: try spawn(process)))
    }

    private func spawn(_ process: DemoProcess) throws -> ChildProcess {
        try ChildProcess.spawn(
            process.executable, environment: process.environment, directory: logs,
            output: .file("\(logs)/\(process.name).log"), orphanSignal: SIGTERM)
    }

    /// Looks after the processes until cancelled: restarts what crashed, remembers the most memory.
    ///
    /// - Throws: `Ended` when one ended that may not be restarted, or crashed too often.
    func watch() async throws {
        while !isStopping {
            for index in members.indices {
                let member = members[index]
                if let rss = member.child.rssMegabytes {
                    members[index].peakMegabytes = max(member.peakMegabytes, rss)
                }
                guard !isStopping, let status = member.child.exitStatus else { continue }
                members[index].lastExit = status
                let name = member.process.name
                guard member.process.mayRestart, member.restarts < Self.restartBudget else {
                    throw Ended(description: "\(name) ended with \(status); see its log")
                }
                members[index].restarts += 1
                members[index].child = try spawn(member.process)
            }
            try await clock.sleep(for: .milliseconds(200))
        }
    }

    /// Ends a process as a crash would; the watch restarts it.
    func kill(_ name: String) {
        members.first { $0.process.name == name }?.child.signal(SIGKILL)
    }

    /// Which processes run now, and with how many restarts.
    var health: [(name: String, isRunning: Bool, restarts: Int)] {
        members.map { ($0.process.name, $0.child.isRunning, $0.restarts) }
    }

    /// Asks every process to drain, in reverse order of starting, and waits for all.
    func stop() async -> [DemoReport.ProcessRow] {
        isStopping = true
        let children = members.map(\.child)
        // The simulator goes last, so that nobody meets a dead venue on the way out.
        let order = children.indices.sorted { ($0 == 0 ? 1 : 0, $1) < ($1 == 0 ? 1 : 0, $0) }
        await withTaskGroup(of: Void.self) { group in
            for index in order.dropLast() { group.addTask { await children[index].terminate() } }
        }
        if let last = order.last { await children[last].terminate() }
        return members.map { member in
            let code: Int32? = if case .exited(let code) = member.child.exitStatus { code } else { nil }
            return DemoReport.ProcessRow(
                name: member.process.name, pid: member.child.processID, restarts: member.restarts, exitCode: code,
                rssMB: (member.peakMegabytes * 10).rounded() / 10)
        }
    }
}
