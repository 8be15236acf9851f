import Foundation
import Resilience
import Runtime

/// Tries every place that alerts go to, for `linesman check alerts`.
public struct AlertCheck: Sendable {
    public struct Outcome: Hashable, Sendable {
        /// `file`, `slack`, `webhook` or `deadman`.
        public let place: String
        /// Nil when it is not set.
        public let isWell: Bool?
        public let took: Duration
        /// What an operator should know or do; never an address.
        public let note: String
    }

    private let settings: AlertSettings
    private let clock: MachineClock
    private let wall: WallClock

    public init(settings: AlertSettings, clock: MachineClock = .real, wall: WallClock = .real) {
        self.settings = settings
        self.clock = clock
        self.wall = wall
    }

    /// Writes beside the alert file, sends a test alert to every sink, and calls the outside watcher; one by one.
    public func run() async -> [Outcome] {
        let http = AlertHTTP(clock: clock)
        var outcomes = [tryFile()]
        let sinks = settings.sinks
        for name in ["slack", "webhook"] {
            guard let sink = sinks[name] else {
                outcomes.append(Outcome(place: name, isWell: nil, took: .zero, note: "not set"))
                continue
            }
            let start = clock.now
            let answer = await http.send(message(), to: sink, timeout: settings.sendTimeout)
            outcomes.append(
                Outcome(
                    place: name, isWell: answer == .delivered, took: clock.now.since(start),
                    note: Self.note(on: answer)))
        }
        guard let address = settings.deadManURL else {
            return outcomes + [Outcome(place: "deadman", isWell: nil, took: .zero, note: "not set")]
        }
        let start = clock.now
        let error = await http.call(address, name: "the outside watcher", timeout: settings.sendTimeout)
        return outcomes + [
            Outcome(
                place: "deadman", isWell: error == nil, took: clock.now.since(start),
                note: error?.message ?? "answered")
        ]
    }

    private func message() -> AlertMessage {
        let at = wall.microseconds
        let request = AlertRequest(
            id: "linesman-check/\(at)", kind: "alertTest", severity: .info, fingerprint: "alertTest",
            summary: "A test by `linesman check alerts`: alerts arrive here.",
            detail: ["enabled": "\(settings.isEnabled)"], source: "linesman", at: at, isLasting: false)
        return AlertMessage(id: request.id, alerts: [Alert(request, state: .firing)])
    }

    /// Beside the alert file, which belongs to the orchestrator while it runs.
    private func tryFile() -> Outcome {
        let start = clock.now
        let path = settings.logPath + ".check"
        do throws(AlertError) {
            let file = AlertFile(path: path, byteLimit: settings.logByteLimit, files: 1)
            try file.append(message().alerts)
            // Nothing is left of the test; what cannot be removed is written over by the next.
            try? FileManager.default.removeItem(atPath: path)
            return Outcome(place: "file", isWell: true, took: clock.now.since(start), note: settings.logPath)
        } catch {
            return Outcome(place: "file", isWell: false, took: clock.now.since(start), note: error.message)
        }
    }

    static func note(on answer: SinkAnswer) -> String {
        switch answer {
        case .delivered: "delivered"
        case .later(let error, _): "\(error.message); alerts wait in the file and are sent again"
        case .refused(let error) where error.code == .sinkRefused:
            "\(error.message); the webhook is gone or not permitted: make a new one"
        case .refused(let error): "\(error.message); the message is refused"
        }
    }
}
