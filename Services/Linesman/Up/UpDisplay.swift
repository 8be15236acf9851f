import Foundation
import NIOConcurrencyHelpers
import NIOPosix
import Resilience
import Runtime

/// What `linesman up` prints: news line by line, and on a terminal a table below them that is drawn over itself.
///
/// `say` never waits. A terminal that stands still (Ctrl-S) holds up only the printing, never the supervision.
final class UpDisplay: Sendable {
    private struct State {
        var lines: [String] = []
        var omitted = 0
        var drawn = 0
    }

    /// Lines that wait to be printed.
    private static let limit = 2_000

    private let isLive: Bool
    private let clock: MachineClock
    private let wall: WallClock
    private let record: FileHandle?
    private let state = NIOLockedValueBox(State())

    /// - `record`: a file that gets every piece of news too.
    init(isLive: Bool, record: String, clock: MachineClock, wall: WallClock) {
        self.isLive = isLive
        self.clock = clock
        self.wall = wall
        // Without it the news are only printed.
        if !FileManager.default.fileExists(atPath: record) {
            _ = FileManager.default.createFile(atPath: record, contents: nil)
        }
        self.record = FileHandle(forWritingAtPath: record)
        _ = try? self.record?.seekToEnd()
    }

    /// Whether there is room for lines that may as well be read later.
    var hasRoom: Bool { state.withLockedValue { $0.lines.count < Self.limit / 2 } }

    /// News, with the time.
    func say(_ text: String) {
        let line = "\(Self.time(wall.microseconds)) \(text)"
        // A full disk must not keep the news from the terminal.
        try? record?.write(contentsOf: Data((line + "\n").utf8))
        print(line)
    }

    /// A line as it is, not recorded.
    func print(_ line: String) {
        state.withLockedValue { state in
            if state.lines.count < Self.limit { state.lines.append(line) } else { state.omitted += 1 }
        }
    }

    /// Prints until cancelled.
    func run(_ rows: @escaping @Sendable () async -> [ProcessSuite.Row]) async {
        while !Task.isCancelled {
            await draw(isLive ? await rows() : [])
            guard (try? await clock.sleep(for: .milliseconds(200))) != nil else { return }
        }
    }

    /// Prints what is left, and the table a last time without moving it.
    func finish() async {
        // Nobody can wait for a terminal that takes nothing.
        _ = try? await withDeadline(.seconds(1), clock: clock) { await self.draw([]) }
    }

    private func draw(_ rows: [ProcessSuite.Row]) async {
        let now = clock.now
        let text = state.withLockedValue { state in
            guard !state.lines.isEmpty || !rows.isEmpty || state.drawn > 0 else { return "" }
            var text = state.drawn > 0 ? "\u{1B}[\(state.drawn)A\r\u{1B}[J" : ""
            for line in state.lines { text += line + "\n" }
            if state.omitted > 0 { text += "(\(state.omitted) lines were not printed)\n" }
            let table = rows.isEmpty ? [] : [""] + Self.table(rows, now)
            for line in table { text += line + "\n" }
            state.lines = []
            state.omitted = 0
            state.drawn = table.count
            return text
        }
        if text.isEmpty { return }
        // The pool ends with the process only.
        _ = try? await NIOThreadPool.singleton.runIfActive { Console.draw(text) }
    }

    // MARK: - Words

    static func table(_ rows: [ProcessSuite.Row], _ now: MachineInstant) -> [String] {
        let head = ["process".padded(24), "state".padded(22), "pid".padded(9), "up".padded(11), "restarts"]
        return [head.joined()]
            + rows.map { row in
                let age = now.since(row.startedAt).short
                let cells = [
                    row.name.padded(24), state(row.state, now).padded(22), (row.isUp ? "\(row.pid)" : "-").padded(9),
                    (row.isUp ? age : "-").padded(11), "\(row.restarts)",
                ]
                return cells.joined()
            }
    }

    static func state(_ state: ProcessWatch.State, _ now: MachineInstant) -> String {
        switch state {
        case .starting: "starting"
        case .running: "running"
        case .hung: "HANGS, being ended"
        case .waiting(let until): "restarts in \(max(.zero, now.duration(to: until)).rounded.short)"
        case .coolingDown(let until): "COOLDOWN \(max(.zero, now.duration(to: until)).rounded.short)"
        case .refused: "BAD SETTINGS"
        case .stopping: "stopping"
        case .stopped: "stopped"
        }
    }

    /// `12:34:56`, UTC as in the logs.
    private static func time(_ microseconds: Int64) -> String {
        let text = WallClock.text(microseconds)
        return String(text.dropFirst(11).prefix(8))
    }
}

extension Duration {
    /// To the next whole second.
    fileprivate var rounded: Duration { .seconds(Int64(inSeconds.rounded(.up))) }
}
