import Foundation
import Resilience
import Runtime
import Servers

/// The processes of a suite: started, watched, restarted within their budgets, and stopped.
///
/// The shell of one `ProcessWatch` each. Everything is looked at together every 100 ms; nothing in such a step waits.
actor ProcessSuite {
    /// What is worth saying.
    enum News: Sendable {
        case started(pid: Int32, restarts: Int)
        /// `said`: what the process said in its log, for an end that nobody asked for.
        case report(ProcessWatch.Report, said: [String])
        case raise(ProcessWatch.Trouble, said: [String])
        case recover
    }

    /// One process as it is now.
    struct Row: Sendable {
        let name: String
        let state: ProcessWatch.State
        let isUp: Bool
        let pid: Int32
        let restarts: Int
        /// Of its present or last life.
        let startedAt: MachineInstant
        let megabytes: Double?
        let peakMegabytes: Double
        let exit: ChildProcess.ExitStatus?
    }

    /// A process ended that is not started again, so that the whole must end.
    struct Ended: Error, CustomStringConvertible {
        let name: String
        let description: String
        let isRefusal: Bool
    }

    private struct Member {
        let process: SuiteProcess
        let listener: NotifyListener?
        var watch: ProcessWatch
        var log: ChildLog
        var child: ChildProcess?
        var isCollected = false
        var pid: Int32 = 0
        var startedAt: MachineInstant
        var megabytes: Double?
        var peakMegabytes = 0.0
        var exit: ChildProcess.ExitStatus?
    }

    /// A log that is longer is put aside.
    static let logLimit: UInt64 = 64 << 20
    private static let step: Duration = .milliseconds(100)
    private static let lookEvery: Duration = .milliseconds(500)

    private let logs: String
    private let sockets: String
    private let directory: String?
    private let endsWhenSpent: Bool
    private let clock: MachineClock
    private let tell: @Sendable (String, News) -> Void
    private var members: [Member] = []
    private var isStopping = false
    private var nextLook: MachineInstant

    /// - Parameters:
    ///   - logs: the folder of the log files, each process its own.
    ///   - sockets: a folder for the sockets that signs of life come to; its path must be short.
    ///   - directory: where the processes run; nil for here.
    ///   - endsWhenSpent: whether `watch` throws when a budget is spent, instead of waiting for the cooldown.
    ///   - clock: of the process.
    ///   - tell: is given the name of a process and what there is to say; must not wait.
    init(
        logs: String, sockets: String, directory: String?, endsWhenSpent: Bool, clock: MachineClock,
        tell: @escaping @Sendable (String, News) -> Void
    ) {
        self.logs = logs
        self.sockets = sockets
        self.directory = directory
        self.endsWhenSpent = endsWhenSpent
        self.clock = clock
        self.tell = tell
        nextLook = clock.now
    }

    // MARK: - Running

    /// Starts a process, behind those that were started before.
    ///
    /// - Throws: `ServersError` when it cannot be started this first time.
    func start(_ process: SuiteProcess) throws {
        guard !isStopping else { return }
        let now = clock.now
        let listener = process.isHeard ? NotifyListener(path: "\(sockets)/\(process.name)") : nil
        var member = Member(
            process: process, listener: listener,
            watch: ProcessWatch(process.policy, isHeard: listener != nil, startedAt: now),
            log: ChildLog(path: "\(logs)/\(process.name).log"), startedAt: now)
        try spawn(&member)
        members.append(member)
    }

    private func spawn(_ member: inout Member) throws {
        member.log.begin()
        _ = member.listener?.heard()
        let child = try member.process.spawn(
            in: directory, log: member.log.path, notify: member.listener?.path)
        member.child = child
        member.pid = child.processID
        member.isCollected = false
        member.exit = nil
        member.startedAt = clock.now
        tell(member.process.name, .started(pid: child.processID, restarts: member.watch.restarts))
    }

    /// Looks after the processes until cancelled or stopped.
    ///
    /// - Throws: `Ended` when one refuses its settings before it was ever ready, or a budget is spent that may not be.
    func watch() async throws {
        while !isStopping {
            look()
            if let ended = members.lazy.compactMap({ self.verdict($0) }).first { throw ended }
            try await clock.sleep(for: Self.step)
        }
    }

    private func verdict(_ member: Member) -> Ended? {
        let name = member.process.name
        switch member.watch.state {
        case .refused where endsWhenSpent || !member.watch.wasEverReady:
            let code = member.exit?.words ?? "at once"
            return Ended(name: name, description: "\(name) refuses its settings (\(code))", isRefusal: true)
        case .coolingDown where endsWhenSpent:
            let end = member.exit.map { "ended with \($0.words)" } ?? "could not be started"
            return Ended(name: name, description: "\(name) \(end); see its log", isRefusal: false)
        default: return nil
        }
    }

    /// One look at everything.
    private func look() {
        let now = clock.now
        for index in members.indices {
            if let words = members[index].listener?.heard(), !words.isEmpty { handle(.heard, index) }
            if let status = members[index].child?.exitStatus, !members[index].isCollected {
                members[index].isCollected = true
                members[index].exit = status
                members[index].megabytes = nil
                handle(.ended(.status(status)), index)
            }
            handle(.tick, index)
        }
        guard now >= nextLook else { return }
        nextLook = now.advanced(by: Self.lookEvery)
        for index in members.indices {
            members[index].megabytes = members[index].child?.rssMegabytes
            members[index].peakMegabytes = max(members[index].peakMegabytes, members[index].megabytes ?? 0)
            members[index].log.rotate(over: Self.logLimit)
        }
    }

    private func handle(_ event: ProcessWatch.Event, _ index: Int) {
        for effect in members[index].watch.handle(event, at: clock.now) {
            let name = members[index].process.name
            switch effect {
            case .start: startAgain(index)
            case .terminate:
                members[index].child?.signal(SIGTERM)
                // A stopped process takes the signal only when it is continued.
                members[index].child?.signalGroup(SIGCONT)
            case .kill: members[index].child?.signalGroup(SIGKILL)
            case .report(let report): tell(name, .report(report, said: words(of: index, for: report)))
            case .raise(let trouble):
                let isRefusal = trouble == .refusedSettings
                tell(name, .raise(trouble, said: members[index].log.lastWords(isRefusal: isRefusal)))
            case .recover: tell(name, .recover)
            }
        }
    }

    private func words(of index: Int, for report: ProcessWatch.Report) -> [String] {
        guard case .ended(let end, _, let next) = report, next != .stopped, end.hasReason else { return [] }
        return members[index].log.lastWords(isRefusal: next == .refused)
    }

    private func startAgain(_ index: Int) {
        do {
            try spawn(&members[index])
        } catch {
            members[index].child = nil
            handle(.ended(.notStarted("\(error)")), index)
        }
    }

    // MARK: - What others ask

    /// Ends a process as a crash would.
    func kill(_ name: String) {
        members.first { $0.process.name == name }?.child?.signal(SIGKILL)
    }

    /// SIGHUP to everything that runs, and a start at once for everything that waits for one.
    func reload() {
        for index in members.indices {
            switch members[index].watch.state {
            case .running: members[index].child?.signal(SIGHUP)
            // Not while it starts: it may not have its handler yet, and it reads its settings anyway.
            case .starting, .hung, .stopping, .stopped: break
            case .waiting, .coolingDown, .refused: handle(.retry, index)
            }
        }
    }

    var rows: [Row] {
        members.map { member in
            Row(
                name: member.process.name, state: member.watch.state, isUp: member.watch.isUp, pid: member.pid,
                restarts: member.watch.restarts, startedAt: member.startedAt, megabytes: member.megabytes,
                peakMegabytes: member.peakMegabytes, exit: member.exit)
        }
    }

    /// Lines that the processes have logged since the last call.
    func newLines() -> [(name: String, line: String)] {
        members.indices.flatMap { index in
            let name = members[index].process.name
            return members[index].log.newLines().map { (name, $0) }
        }
    }

    // MARK: - The end

    /// Asks the processes to drain, the last started first, and kills what is left after `limit`.
    ///
    /// Those of one executable are asked together; the next ones when they have ended, or after a tenth of `limit`.
    /// - Returns: the names of those that had to be killed.
    @discardableResult
    func stop(within limit: Duration = .seconds(10)) async -> [String] {
        isStopping = true
        for index in members.indices { handle(.stop, index) }
        // Awaited at once; a task of its own, so that being cancelled shortens nobody's drain.
        return await Task { await drain(within: limit) }.value
    }

    /// Kills everything at once; `stop` then returns.
    func killAll() {
        isStopping = true
        for member in members { member.child?.signalGroup(SIGKILL) }
    }

    private func drain(within limit: Duration) async -> [String] {
        let end = clock.now.advanced(by: limit)
        for stage in stages.reversed() {
            for index in stage {
                members[index].child?.signal(SIGTERM)
                members[index].child?.signalGroup(SIGCONT)
            }
            await untilGone(stage, by: min(end, clock.now.advanced(by: limit / 10)))
        }
        let all = Array(members.indices)
        await untilGone(all, by: end)
        let late = all.filter { members[$0].child?.isRunning == true }
        for index in late { await members[index].child?.kill9() }
        look()
        return late.map { members[$0].process.name }
    }

    private func untilGone(_ indices: [Int], by end: MachineInstant) async {
        while true {
            look()
            guard clock.now < end, indices.contains(where: { members[$0].child?.isRunning == true }) else { return }
            // Not cancelled by anybody; if it were, the drain would only be shorter.
            guard (try? await clock.sleep(for: .milliseconds(20))) != nil else { return }
        }
    }

    /// Neighbours of one executable, in the order of their start.
    private var stages: [[Int]] {
        var stages: [[Int]] = []
        for index in members.indices {
            if let last = stages.last?.last, members[last].process.executable == members[index].process.executable {
                stages[stages.count - 1].append(index)
            } else {
                stages.append([index])
            }
        }
        return stages
    }
}
