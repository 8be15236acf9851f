import Foundation
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// The example of the documentation is compiled, run, and leaves nothing behind.
@Suite(.timeLimit(.minutes(3))) struct DocumentedExampleTests {
    @Test func `5.47 our documented subscriber leaks no connection in a hundred runs`() async throws {
        let server = try await OwnRedis.started()
        let settings = patientSettings(server.url)
        try await withClient(settings, name: "observer") { observer in
            let connections = try await observer.clientList().count
            let sockets = try openSockets(to: server.port)
            for run in 1...100 {
                let heard = NIOLockedValueBox<[String]>([])
                let hear = { @Sendable (text: String) in heard.withLockedValue { $0.append(text) } }
                let example = Task {
                    try await follow(
                        "prices", settings, log: LogCapture().logger(),
                        use: { hear(String(decoding: $0.payload, as: UTF8.self)) }, reread: { hear("reread") })
                }
                try await eventually(within: .seconds(40), "run \(run) is subscribed") {
                    try await observer.subscribers(of: "prices") == 1
                }
                if run % 10 == 0 {
                    // The way back is where others leaked a client.
                    _ = try await observer.command("CLIENT", "KILL", "TYPE", "pubsub")
                    try await eventually(within: .seconds(40), "told of the gap") {
                        heard.withLockedValue { $0.contains("reread") }
                    }
                    try await eventually(within: .seconds(40), "back") {
                        try await observer.subscribers(of: "prices") == 1
                    }
                }
                #expect(try await observer.clientList().count <= connections + 2)
                try await observer.publish("\(run)", on: "prices")
                try await eventually(within: .seconds(40), "heard") { heard.withLockedValue { $0.last == "\(run)" } }
                example.cancel()
                _ = await example.result
                #expect(try openSockets(to: server.port) == sockets)
                // Closed here is not yet forgotten there: the next run must not count this one.
                try await eventually(within: .seconds(40), "run \(run) is forgotten") {
                    try await observer.subscribers(of: "prices") == 0
                }
            }
            try await eventually(within: .seconds(40), "the server has only the observer") {
                try await observer.clientList().count == connections
            }
        }
    }

    @Test func `5.47 the documented subscriber is the one that is tested`() throws {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let package = tests.deletingLastPathComponent().deletingLastPathComponent()
        let code = try String(contentsOf: tests.appending(path: "DocumentedExample.swift"), encoding: .utf8)
        let page = try String(contentsOf: package.appending(path: "docs/ARCHITECTURE.md"), encoding: .utf8)
        let shown = page.components(separatedBy: "```swift\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
        #expect(shown.contains { !$0.isEmpty && code.contains($0) })
    }
}
