import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import RedisTestKit
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@testable import Redis

/// Finding the server, and what the socket to it is like.
@Suite(.timeLimit(.minutes(3))) struct ConnectTests {
    /// Answers as a name server would.
    private final class Names: Resolver, Sendable {
        private let loop: any EventLoop
        private let addresses: [SocketAddress]

        init(_ addresses: [SocketAddress], loop: any EventLoop) {
            self.addresses = addresses
            self.loop = loop
        }

        func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
            loop.makeSucceededFuture(addresses)
        }
        func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
            loop.makeSucceededFuture([])
        }
        func cancelQueries() {}
    }

    private let loop = MultiThreadedEventLoopGroup.singleton.next()

    @Test func `of several addresses the one that answers is taken`() async throws {
        let server = try await OwnRedis.started()
        let refusing = try SocketAddress(ipAddress: "127.0.0.2", port: server.port)
        let answering = try SocketAddress(ipAddress: "127.0.0.1", port: server.port)
        let settings = patientSettings("redis://several.example:\(server.port)")
        let names = Names([refusing, refusing, answering], loop: loop)
        let connection = try await RedisConnection.open(settings, at: settings.endpoint, on: loop, resolver: names)
        #expect(connection.remoteAddress == answering)
        #expect(try await connection.send(["PING"], timeout: .seconds(20)).text == "PONG")
        connection.close(.notConnected)
        _ = await connection.waitUntilClosed()
    }

    @Test func `an attempt that is stopped ends at once, and its socket is closed`() async throws {
        let settings = patientSettings("redis://silent.example", ["REDIS_CONNECT_TIMEOUT_MS": "600000"])
        let silent = loop.makePromise(of: [SocketAddress].self)
        let names = Waiting(silent.futureResult)
        let attempt = Task {
            try await RedisConnection.open(settings, at: settings.endpoint, on: loop, resolver: names)
        }
        attempt.cancel()
        await #expect(throws: RedisError.self) { try await attempt.value }
        silent.fail(ChannelError.eof)
    }

    private final class Waiting: Resolver, Sendable {
        private let future: EventLoopFuture<[SocketAddress]>

        init(_ future: EventLoopFuture<[SocketAddress]>) { self.future = future }

        func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { future }
        func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { future }
        func cancelQueries() {}
    }

    #if os(Linux)
    @Test func `the kernel watches every socket besides`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url)) { _ in
            // A PING on its way has the retransmission timer for a while.
            try await eventually(within: .seconds(30), "both wait for nothing but their keep-alive") {
                try timers(to: server.port) == ["02", "02"]
            }
        }
    }

    /// The kernel's timers of the established sockets to that port: `02` is keep-alive.
    private func timers(to port: Int) throws -> [String] {
        let hexadecimal = String(port, radix: 16, uppercase: true)
        let suffix = ":" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal
        // Read to its end in pieces: the kernel says that it is empty.
        let table = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/net/tcp")).readToEnd() ?? Data()
        return String(decoding: table, as: UTF8.self).split(separator: "\n").compactMap { line in
            let columns = line.split(separator: " ")
            guard columns.count > 5, columns[2].hasSuffix(suffix), columns[3] == "01" else { return nil }
            return String(columns[5].prefix(2))
        }
    }
    #endif

    @Test func `megabytes that the server takes slowly are life, although their PONG is late`() async throws {
        // CHECKLIST N8; PITFALLS 5.25.
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = fastSettings(
            proxy.url,
            [
                "REDIS_PING_INTERVAL_MS": "20", "REDIS_PONG_TIMEOUT_MS": "3000",
                "REDIS_MAX_IN_FLIGHT_BYTES": "\(256 << 20)", "REDIS_COMMAND_TIMEOUT_MS": "60000",
            ])
        try await withClient(settings) { client in
            let before = client.status
            // 64 KiB in 10 ms: more than twice the time-out for all of it, and the PING waits behind it.
            try await proxy.slow(.milliseconds(10))
            let large = [UInt8](repeating: 7, count: 48 << 20)
            try await client.set("large", to: .bytes(large))
            #expect(try await server.ask("STRLEN", "large") == ["\(large.count)"])
            #expect(client.status.commands.reconnects == before.commands.reconnects)
        }
    }

    // MARK: TLS

    private func certificates() throws -> TestCertificates {
        try TestCertificates(for: ["right": "DNS:localhost,IP:127.0.0.1", "wrong": "DNS:elsewhere.example"])
    }

    private func options(_ certificates: TestCertificates, _ name: String, port: Int) -> [String] {
        [
            "--tls-port", "\(port)", "--tls-cert-file", certificates.path("\(name).crt"), "--tls-key-file",
            certificates.path("\(name).key"), "--tls-ca-cert-file", certificates.path("ca.crt"),
            "--tls-auth-clients", "no",
        ]
    }

    @Test func `rediss verifies authority and name, and logs in with user, password and database`() async throws {
        let certificates = try certificates()
        defer { certificates.remove() }
        let port = try FreePort.find()
        let server = try await OwnRedis.started(options(certificates, "right", port: port))
        _ = try await server.ask("ACL", "SETUSER", "anna", "on", ">p@ss", "+@all", "~*", "&*")
        let trust = ["REDIS_CA_FILE": certificates.path("ca.crt")]
        for host in ["localhost", "127.0.0.1"] {
            let url = "rediss://anna:p%40ss@\(host):\(port)/3"
            try await withClient(patientSettings(url, trust)) { client in
                #expect(try await client.command("ACL", "WHOAMI").text == "anna")
                try await client.set("k", to: "v")
                let subscription = try await client.subscribe(to: ["a"])
                _ = try await client.command("CLIENT", "KILL", "TYPE", "pubsub")
                #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
                #expect(try await client.publish("1", on: "a") == 1)
            }
        }
        let stranger = patientSettings(
            "rediss://localhost:\(port)", ["REDIS_CA_FILE": certificates.path("other-ca.crt")])
        try await withClient(stranger, awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "refused") { client.status.commands.lastError == .tlsFailed }
        }
    }

    @Test func `a certificate for another name is refused`() async throws {
        let certificates = try certificates()
        defer { certificates.remove() }
        let port = try FreePort.find()
        let server = try await OwnRedis.started(options(certificates, "wrong", port: port))
        for host in ["localhost", "127.0.0.1"] {
            let settings = patientSettings(
                "rediss://\(host):\(port)", ["REDIS_CA_FILE": certificates.path("ca.crt")])
            try await withClient(settings, awaitsConnection: false) { client in
                try await eventually(within: .seconds(20), "refused") {
                    client.status.commands.lastError == .tlsFailed
                }
                #expect(!client.status.commands.isConnected)
            }
        }
        await server.kill()
    }

    @Test func `a handshake that never ends is ended by the connect deadline`() async throws {
        let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(silent.localAddress?.port)
        let settings = fastSettings("rediss://localhost:\(port)", ["REDIS_CONNECT_TIMEOUT_MS": "300"])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "given up") {
                client.status.commands.lastError == .connectTimedOut && client.status.commands.failures >= 2
            }
        }
        try await silent.close().get()
    }
}
