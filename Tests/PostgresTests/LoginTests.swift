import Foundation
import PostgresTestKit
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// How a session comes about, and what is said when it does not.
@Suite struct LoginTests {
    private func failure(
        _ url: String, _ change: (inout PostgresSettings) -> Void = { _ in }
    ) async throws -> PostgresError? {
        let pool = try makePool(url) {
            $0.breakerFailures = 1
            $0.breakerCooldown = .seconds(600)
            change(&$0)
        }
        let error = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
        await pool.close()
        return error
    }

    @Test func `a wrong password is permanent and says what to check, not what it was`() async throws {
        try await withPostgres { database in
            let url = database.url.replacing(database.server.password.value, with: "hunter2")
            let error = try await failure(url)
            #expect(error?.code == .permanent)
            #expect(error?.sqlState == "28P01")
            #expect(error?.description.contains("check user and password in DATABASE_URL") ?? false)
            #expect(!(error?.description.contains("hunter2") ?? true))
        }
    }

    @Test func `a missing database is permanent and says how to make it`() async throws {
        try await withPostgres { database in
            let error = try await failure(database.socketURL.replacing(database.name, with: "no_such_database"))
            #expect(error?.code == .permanent)
            #expect(error?.description.contains("create the database") ?? false)
        }
    }

    @Test func `a refused connection says which address was tried`() async throws {
        let port = try FreePort.find()
        let error = try await failure("postgres://u:p@127.0.0.1:\(port)/d")
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("\(port)") ?? false)
        #expect(error?.description.contains("check that the server runs") ?? false)
    }

    @Test func `a name that leads nowhere is named`() async throws {
        let error = try await failure("postgres://u:p@no-such-host.invalid/d")
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("no-such-host.invalid") ?? false)
    }

    @Test(arguments: ["disable", "require"])
    func `a server that accepts and never answers ends within the connect time-out`(sslmode: String) async throws {
        let proxy = try await FaultProxy.start(to: 1)
        try await proxy.admit(.ignore)
        let error = try await failure("postgres://u:p@127.0.0.1:\(proxy.port)/d?sslmode=\(sslmode)") {
            $0.connectTimeout = .milliseconds(200)
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message == "no connection: no session within the connect time-out")
        try await eventually(within: .seconds(60), "the socket is closed") { proxy.open == 0 }
    }

    @Test func `every session carries its four time-outs, on both halves`() async throws {
        try await withPostgres { database in
            let pool = try makePool(database.url) {
                $0.statementTimeout = .milliseconds(11_000)
                $0.lockTimeout = .milliseconds(1234)
                $0.idleInTransactionTimeout = .milliseconds(12_345)
                $0.tcpUserTimeout = .milliseconds(4321)
            }
            for (name, value) in [
                ("statement_timeout", "11s"), ("lock_timeout", "1234ms"),
                ("idle_in_transaction_session_timeout", "12345ms"), ("tcp_user_timeout", "4321"),
            ] {
                let shown = try await pool.first("SELECT current_setting(\(name)) AS value")?.text("value")
                #expect(shown == value, "\(name)")
            }
            let parameters = pool.settings.parameters(application: "test")
            #expect(parameters["tcp_user_timeout"] == "4321")
            await pool.close()
        }
    }

    @Test func `a transaction that is left open is ended by the server and named`() async throws {
        try await withDatabase(Tuned { $0.idleInTransactionTimeout = .milliseconds(50) }) { pool, url in
            let watcher = try makePool(url, application: "watcher")
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("forgets") { transaction in
                    let pid = try await transaction.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
                    try await eventually(within: .seconds(60), "ended by the server") {
                        try await watcher.query("SELECT 1 FROM pg_stat_activity WHERE pid = \(pid)").isEmpty
                    }
                    _ = try await transaction.query("SELECT 2")
                }
            }
            #expect(error?.code == .reconnect)
            #expect(error?.context == "forgets: SELECT 2")
            await watcher.close()
        }
    }

    // MARK: TLS

    @Test func `sslmode asks for TLS, verifies authority and name, and cancels over TLS`() async throws {
        let certificates = try TestCertificates(for: ["server": "DNS:localhost"])
        defer { certificates.remove() }
        // The server reads only a key that is its own.
        try certificates.give("server.key", to: "postgres")
        let settings = [
            "ssl": "on", "ssl_cert_file": certificates.path("server.crt"),
            "ssl_key_file": certificates.path("server.key"),
        ]
        try await withOwnPostgres(settings: settings) { server in
            let base = server.url(database: "linesman")
            func url(_ sslmode: String, _ authority: String? = nil, host: String = "localhost") -> String {
                let root = authority.map { "&sslrootcert=\(certificates.path($0))" } ?? ""
                return base.replacing("@127.0.0.1:", with: "@\(host):") + "?sslmode=\(sslmode)\(root)"
            }
            func isEncrypted(_ pool: PostgresPool) async throws -> Bool {
                try await pool.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0].bool("ssl")
            }
            for (mode, expected) in [("disable", false), ("require", true), ("verify-full", true)] {
                let pool = try makePool(url(mode, mode == "verify-full" ? "ca.crt" : nil))
                let encrypted = try await isEncrypted(pool)
                #expect(encrypted == expected, "\(mode)")
                // Much of both, so that records and buffers cross.
                let large = String(repeating: "x", count: 3_000_000)
                let row = try await pool.query("SELECT length(\(large)::text) AS n, repeat('y', 3000000) AS back")[0]
                #expect(try row.int("n") == 3_000_000)
                #expect(try row.text("back").utf8.count == 3_000_000)
                await pool.close()
            }
            let pool = try makePool(url("verify-full", "ca.crt")) { $0.maxConnections = 1 }
            // One whose request takes longer than the grace is closed instead.
            try await eventually(within: .seconds(60), "a session survives its cancel request") {
                let pid = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
                let late = await #expect(throws: PostgresError.self) {
                    try await pool.query("SELECT pg_sleep(30)", timeout: .milliseconds(100))
                }
                #expect(late?.code == .deadlineExceeded)
                return try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid") == pid
            }
            try await pool.execute("CREATE TABLE t (x bigint)")
            let rows = try await pool.copy(into: "t", columns: ["x"], 0..<100_000) { $1.append($0) }
            #expect(rows == 100_000)
            await pool.close()

            let authority = try await failure(url("verify-full", "other-ca.crt"))
            #expect(authority?.message.contains("certificate verify failed") ?? false)
            let name = try await failure(url("verify-full", "ca.crt", host: "127.0.0.1"))
            #expect(name?.message.contains("does not match host name") ?? false)
        }
    }
}
