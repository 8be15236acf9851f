import Foundation
import Glibc
import Runtime
import TestKit
import Testing

@testable import Alerting

/// A life whose file does not answer begins without it, and takes over what it holds when it does (requirement 7).
@Suite struct UnreadFileTests {
    @Test func `alerts go out, no cursor moves, and the late word on the file brings what earlier lives left`() throws {
        var desk = Desk(sinks: ["slack", "webhook"])
        desk.answer = { _, sink in sink == "webhook" ? .delivered : nil }
        desk.fire("a")
        desk.fire("b")
        let left = desk.cursors
        #expect(desk.told("webhook") == ["+a"] && desk.told() == ["+a"])
        desk.sent = []
        desk.answer = { _, _ in .delivered }
        desk.restart(isRead: false)
        desk.fire("c")
        desk.pass(.seconds(3))
        #expect(desk.told() == ["+alertFileFailing", "+c"] && desk.told("webhook") == desk.told())
        #expect(desk.cursors == left && desk.file.count == 2)
        // Not known to this life yet.
        desk.resolve("a")
        desk.read()
        desk.pass(.seconds(20))
        #expect(desk.told().dropFirst(2) == ["+a", "+b", "-a", "-alertFileFailing"])
        #expect(desk.told("webhook").dropFirst(2) == ["+b", "-a", "-alertFileFailing"])
        #expect(desk.engine.firing == ["b", "c"] && desk.engine.isIdle)
        #expect(Set(desk.file.map(\.sequence)).count == desk.file.count)
        desk.restart()
        desk.pass(.seconds(20))
        #expect(desk.engine.firing == ["b", "c"] && desk.sent.count == 6 + 5)
    }

    @Test func `what fires again is not ended by the recovery that an earlier life left`() {
        var desk = Desk()
        desk.answer = { _, _ in nil }
        desk.fire("a")
        desk.resolve("a")
        desk.answer = { _, _ in .delivered }
        desk.restart(isRead: false)
        desk.fire("a")
        desk.pass(.seconds(5))
        desk.read()
        desk.pass(.seconds(20))
        #expect(desk.told().filter { $0.hasSuffix("a") } == ["+a", "+a", "+a", "-a", "+a"])
        #expect(desk.engine.firing == ["a"])
        desk.resolve("a")
        desk.pass(.seconds(5))
        #expect(desk.told().last == "-a")
    }

    @Test func `a cursor passes what has a new number only when the file has it under that`() throws {
        var desk = Desk()
        desk.answer = { _, _ in nil }
        desk.fire("a")
        let left = desk.cursors
        desk.answer = { _, _ in .delivered }
        desk.restart(isRead: false)
        // It can be read, and takes nothing.
        desk.take(.restore(records: desk.file, cursors: desk.cursors, at: desk.wall))
        desk.pass(.seconds(10))
        #expect(desk.told().contains("+a") && desk.cursors == left)
        desk.fileTakes = true
        desk.pass(.seconds(10))
        #expect(try #require(desk.cursors["slack"]).sequence == desk.file.map(\.sequence).max())
    }

    @Test func `the clean-up of what was not heard of again reaches what was read after it`() {
        var desk = Desk()
        desk.fire("gone")
        desk.fire("there")
        desk.pass(.seconds(5))
        desk.restart(isRead: false)
        desk.fire("there")
        desk.take(.resolveUnconfirmed(kinds: ["shardDead"], at: desk.wall))
        desk.read()
        desk.pass(.seconds(20))
        #expect(desk.engine.firing == ["there"])
        #expect(desk.told().contains("-gone") && !desk.told().contains("-there"))
    }

    @Test func `what is there and cannot be read is no empty file`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "alerts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Left behind only when the machine cannot remove it.
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["alerts.log", "alerts.log.slack.cursor"] {
            let path = folder.appending(path: name).path
            #expect(FileManager.default.createFile(atPath: path, contents: Data("{}".utf8)))
            let lease = try #require(Lease(path))
            let file = AlertFile(path: folder.appending(path: "alerts.log").path, byteLimit: 1_000, files: 1)
            let error = #expect(throws: AlertError.self) { _ = try file.restore(sinks: ["slack"], otherName: "x") }
            #expect(error?.message.contains(path) == true)
            lease.end()
            #expect(throws: Never.self) { try file.restore(sinks: ["slack"], otherName: "x") }
            #expect(file.path == folder.appending(path: "alerts.log").path)
        }
    }

    // The real file and sink; a lease keeps the lock's `open` waiting, as a disk would that hangs.
    @Test(.timeLimit(.minutes(4)))
    func `a file that hangs at the start loses nothing`() async throws {
        try await losesNothing(
            while: { folder in
                let lease = try #require(Lease("\(folder)/alerts.log.lock"))
                return { lease.end() }
            })
    }

    @Test(.timeLimit(.minutes(4)))
    func `a folder that is not there yet at the start loses nothing`() async throws {
        try await losesNothing(
            while: { folder in
                try FileManager.default.moveItem(atPath: folder, toPath: "\(folder).away")
                #expect(FileManager.default.createFile(atPath: folder, contents: nil))
                return {
                    try FileManager.default.removeItem(atPath: folder)
                    try FileManager.default.moveItem(atPath: "\(folder).away", toPath: folder)
                }
            })
    }

    /// A life that leaves an alert behind, one that begins while `trouble` lasts, and one that finds everything.
    private func losesNothing(
        while trouble: @Sendable (String) throws -> @Sendable () throws -> Void
    ) async throws {
        var impatient = AlertPolicy()
        impatient.readPatience = .milliseconds(200)
        impatient.storeRetry = .milliseconds(200)
        let policy = impatient
        try await withFolder { folder in
            try await SlackSink.serve({ _ in .hang }) { slack in
                let environment = [
                    "ALERT_LOG_PATH": "\(folder)/alerts.log", "ALERT_SEND_TIMEOUT_MS": "30000",
                    "SLACK_WEBHOOK_URL": "http://127.0.0.1:\(slack.port)/services/T0/B0/secret-token",
                ]
                try await Post.open(environment) { post in
                    post.dispatcher.fire("shardDead", fingerprint: "shard:1", "left behind")
                    #expect(await post.dispatcher.stored(within: .seconds(60)))
                    try await eventually("the request under way") { slack.arrivals.count == 1 }
                }
                let mend = try trouble(folder)
                slack.behave { _ in .slack }
                try await Post.open(environment, policy: policy) { post in
                    post.dispatcher.fire("shardDead", fingerprint: "shard:2", "told without the file")
                    try await eventually(within: .seconds(30), "both messages") { slack.taken.count == 2 }
                    #expect(slack.taken[0].text.contains("alertFileFailing"))
                    #expect(slack.taken[1].text.contains("told without the file"))
                    post.dispatcher.resolve("shard:1", "back")
                    #expect(!post.dispatcher.isStored && post.value("alert_file_failures_total") >= 1)
                    try mend()
                    try await eventually(within: .seconds(30), "the word of the file") {
                        slack.taken.contains { $0.text.contains("left behind") }
                    }
                    try await eventually(within: .seconds(60), "all settled") {
                        post.dispatcher.isStored && post.dispatcher.isIdle
                    }
                    #expect(post.dispatcher.firing == ["shard:2"])
                }
                try await Post.open(environment) { post in
                    #expect(await post.dispatcher.stored(within: .seconds(60)))
                    try await eventually("all settled") { post.dispatcher.isIdle }
                    #expect(post.dispatcher.firing == ["shard:2"])
                }
            }
            let found = try records(folder)
            #expect(Set(found.map(\.sequence)).count == found.count)
            #expect(Set(found.map(\.fingerprint)) == ["shard:1", "shard:2", "alertFileFailing"])
        }
    }
}

/// While it lasts nobody can open the file: who may wait does, who may not is told so.
private final class Lease: Sendable {
    private static let (setSignal, setLease): (Int32, Int32) = (10, 1_024)
    private let descriptor: Int32

    init?(_ path: String) {
        descriptor = open(path, O_RDWR | O_CLOEXEC)
        // A signal that nobody minds, in the place of SIGIO.
        guard descriptor >= 0, fcntl(descriptor, Self.setSignal, SIGURG) == 0,
            fcntl(descriptor, Self.setLease, Int32(F_WRLCK)) == 0
        else { return nil }
    }

    func end() { close(descriptor) }
}
