import Runtime
import Testing

@testable import Postgres

@Suite struct SettingsTests {
    private func settings(_ environment: [String: String]) throws -> PostgresSettings {
        let reader = SettingsReader(environment: environment)
        let settings = PostgresSettings(reader)
        try reader.finish()
        return settings
    }

    @Test func `the defaults are the documented ones`() throws {
        let settings = try settings(["DATABASE_URL": "postgresql://u:p@h:5433/d"])
        #expect(settings.maxConnections == 20)
        #expect(settings.minConnections == 5)
        #expect(settings.maxLifetime == .seconds(1800))
        #expect(settings.idleTimeout == .seconds(600))
        #expect(settings.acquireTimeout == .seconds(30))
        #expect(settings.healthCheckInterval == .seconds(10))
        #expect(settings.healthCheckTimeout == .seconds(5))
        #expect(settings.healthAlertThreshold == 3)
        #expect(settings.target == "h:5433/d")
        #expect(!"\(settings)".contains("\"p\""))
    }

    @Test func `libpq's own variables name the server, and the URL wins over them`() throws {
        let own = [
            "PGHOST": "a", "PGPORT": "5440", "PGUSER": "u", "PGPASSWORD": "secret", "PGDATABASE": "d",
            "PGSSLMODE": "verify-full",
        ]
        let parameters = try settings(own).parameters(application: "test")
        for (keyword, value) in [
            ("host", "a"), ("port", "5440"), ("user", "u"), ("password", "secret"), ("dbname", "d"),
            ("sslmode", "verify-full"),
        ] { #expect(parameters[keyword] == value) }
        let url = "postgresql://v:other@b:5441/e?sslmode=require&sslrootcert=/ca.crt"
        let both = try settings(own.merging(["DATABASE_URL": url]) { $1 })
        #expect(both.target == "b:5441/e")
        let chosen = both.parameters(application: "test")
        #expect(chosen["sslmode"] == "require")
        #expect(chosen["sslrootcert"] == "/ca.crt")
        #expect(chosen["password"] == "other")
    }

    // CHECKLIST R25.
    @Test(arguments: [
        ("standard", 20, 5, 600, 30), ("high_throughput", 50, 10, 300, 30), ("low_latency", 10, 5, 600, 5),
    ])
    func `a preset sets sizes and times together`(
        preset: String, most: Int, fewest: Int, idle: Int, acquire: Int
    ) throws {
        let settings = try settings(["PGDATABASE": "d", "DB_POOL_PRESET": preset])
        #expect(settings.maxConnections == most)
        #expect(settings.minConnections == fewest)
        #expect(settings.idleTimeout == .seconds(idle))
        #expect(settings.acquireTimeout == .seconds(acquire))
    }

    @Test func `a key of its own wins over the preset`() throws {
        let settings = try settings([
            "PGHOST": "h", "DB_POOL_PRESET": "high_throughput", "DB_POOL_MAX_CONNECTIONS": "3",
        ])
        #expect(settings.maxConnections == 3)
        #expect(settings.minConnections == 3)
    }

    @Test func `all problems are reported at once`() throws {
        let error = #expect(throws: SettingsError.self) {
            try settings([
                "DATABASE_URL": "postgresql://h?nonsense=1", "DB_POOL_MAX_CONNECTIONS": "2",
                "DB_POOL_MIN_CONNECTIONS": "4", "DB_POOL_ACQUIRE_TIMEOUT_SECS": "soon",
            ])
        }
        #expect((error?.problems.count ?? 0) >= 3)
    }

    @Test func `the session's own options are kept before the pool's`() throws {
        let settings = try PostgresSettings(url: "host=h password=secret options='-c search_path=x'")
        let parameters = settings.parameters(application: "test")
        #expect(parameters["options"]?.hasPrefix("-c search_path=x -c statement_timeout=15000 ") ?? false)
        #expect(parameters["password"] == "secret")
        #expect(parameters["application_name"] == "test")
        #expect(!"\(settings)".contains("secret"))
    }
}
