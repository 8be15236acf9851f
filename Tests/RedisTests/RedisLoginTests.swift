import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Redis
import RedisTestKit
import Runtime
import Servers
import TestKit
import Testing

@Suite(.timeLimit(.minutes(2))) struct RedisLoginTests {
    @Test func `password and database hold on both connections, also after a cut`() async throws {
        let server = try await OwnRedis.started(["--requirepass", "geheim"])
        let url = "redis://:geheim@127.0.0.1:\(server.port)/5"
        try await withClient(fastSettings(url)) { client in
            try await client.set("k", to: "v")
            let subscription = try await client.subscribe(to: ["a"])
            _ = try await client.command("CLIENT", "KILL", "TYPE", "pubsub")
            try await eventually(within: .seconds(20), "again") {
                client.status.subscriptions.reconnects == 1 && client.status.isReady
            }
            _ = try? await client.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")  // kills itself
            try await eventually(within: .seconds(20), "again") {
                client.status.commands.reconnects == 1 && client.status.isReady
            }
            let reply1 = try await client.get("k")
            #expect(reply1 == Array("v".utf8))
            try await client.publish("1", on: "a")
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
            #expect(await subscription.next() != nil)
        }
        try await withClient(fastSettings("redis://:geheim@127.0.0.1:\(server.port)/0")) { client in
            let reply2 = try await client.get("k")
            #expect(reply2 == nil)
        }
    }

    @Test func `a refused name is an error, not a silence`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            _ = try await client.command("ACL", "SETUSER", "anna", "on", ">pw", "+@all", "~*", "resetchannels", "&open")
        }
        try await withClient(fastSettings("redis://anna:pw@127.0.0.1:\(server.port)")) { client in
            let reply3 = try await client.command("ACL", "WHOAMI").text
            #expect(reply3 == "anna")
            let live = try await client.subscribe(to: ["open"])
            do {
                _ = try await client.subscribe(to: ["open", "closed"])
                Issue.record("subscribed")
            } catch let error as RedisError {
                #expect(error.code == .permissionDenied)
            }
            try await client.publish("1", on: "open")
            #expect(await live.next() != nil)
            #expect(client.status.subscriptions.reconnects == 0)
        }
    }

    @Test func `a missing and a wrong password have their own codes`() async throws {
        let server = try await OwnRedis.started(["--requirepass", "geheim"])
        for (login, code) in [("", RedisError.Code.authenticationRequired), (":falsch@", .wrongPassword)] {
            let url = "redis://\(login)127.0.0.1:\(server.port)"
            try await withClient(fastSettings(url), awaitsConnection: false) { client in
                try await eventually(within: .seconds(20), "refused") { client.status.commands.lastError == code }
                #expect(!client.status.commands.isConnected)
            }
        }
    }

    @Test func `too many clients is said by its code, and waited out`() async throws {
        let server = try await OwnRedis.started(["--maxclients", "2"])
        try await withClient(fastSettings(server.url)) { _ in
            try await withClient(fastSettings(server.url), awaitsConnection: false) { second in
                try await eventually(within: .seconds(20), "refused") {
                    second.status.commands.lastError == .maximumClients
                }
            }
        }
    }

    @Test func `a peer that is no Redis server is a protocol violation`() async throws {
        let accepted = NIOLockedValueBox(0)
        let fake = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                accepted.withLockedValue { $0 += 1 }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Garbage())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(fake.localAddress?.port)
        try await withClient(fastSettings("redis://127.0.0.1:\(port)"), awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "typed") {
                client.status.commands.lastError == .protocolViolation
            }
            try await eventually(within: .seconds(20), "tried again") { accepted.withLockedValue { $0 } > 4 }
        }
        try await fake.close().get()
    }

    @Test func `rediss encrypts, and an unknown authority is refused`() async throws {
        let folder = NSTemporaryDirectory() + "tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }  // left behind it harms no test
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        openssl.arguments =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", "\(folder)/key", "-out", "\(folder)/crt"]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        try #require(openssl.terminationStatus == 0)
        let port = try FreePort.find()
        let server = try await OwnRedis.started([
            "--tls-port", "\(port)", "--tls-cert-file", "\(folder)/crt", "--tls-key-file", "\(folder)/key",
            "--tls-ca-cert-file", "\(folder)/crt", "--tls-auth-clients", "no",
        ])
        let url = "rediss://localhost:\(port)"
        try await withClient(fastSettings(url, ["REDIS_CA_FILE": "\(folder)/crt"])) { client in
            let reply4 = try await client.command("ECHO", "secretly").text
            #expect(reply4 == "secretly")
        }
        try await withClient(fastSettings(url), awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "refused") { client.status.commands.lastError == .tlsFailed }
        }
        await server.kill()
    }
}

/// Greets whoever connects with bytes that are not RESP.
private final class Garbage: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "\u{0}\u{1}SSH-2.0-garbage\r\n")), promise: nil)
    }
}
