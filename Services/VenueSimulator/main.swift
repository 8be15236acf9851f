import Foundation
import Recording
import Runtime

// A venue and a score feed that play a recording, match orders, and misbehave on request.
await ProcessRunner.run(service: "venue-simulator") { context in
    let settings = try context.settings(SimulatorSettings.init)
    let recording = try Recording(text: String(contentsOf: URL(filePath: settings.recording), encoding: .utf8))
    let copies = try GameCopies(of: recording.header, count: settings.games, apart: settings.gamesApart)
    let simulator = Simulator(
        recording: recording, copies: copies, settings: settings, clock: context.clock,
        wall: context.wallClock, log: context.log)
    context.log.info(
        "recording loaded",
        metadata: [
            "name": "\(recording.header.name)", "facts": "\(recording.entries.count)", "games": "\(settings.games)",
        ])
    context.supervisor.add("http", .critical) { try await simulator.serveHTTP() }
    context.supervisor.add("websocket", .critical) { try await simulator.serveWebSocket() }
    context.supervisor.add("playback", .critical) { try await simulator.play() }
    context.supervisor.add("ping", .critical) { try await simulator.ping() }
}
