// swift-tools-version:6.2
import PackageDescription

// The arrows of docs/ARCHITECTURE.md, one line per target. `make check` builds with
// `--explicit-target-dependency-import-check error`, so an import that is not listed here does not compile.

let settings: [SwiftSetting] = [.treatAllWarnings(as: .error)]
/// What the simulation runs on is optimised in debug builds too: `make test` plays 1,000 seeds (decision 0073).
let optimised: [SwiftSetting] =
    settings + [
        .unsafeFlags(
            ["-O", "-whole-module-optimization", "-num-threads", "2", "-disable-batch-mode"],
            .when(configuration: .debug))
    ]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
]
let webSocket: [Target.Dependency] = [
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOWebSocket", package: "swift-nio"),
]
let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let tls = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let httpServer = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")

/// A library of `Shared/`; the resources are compiled into it.
func shared(
    _ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil,
    settings: [SwiftSetting] = settings
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Shared/\(name)", resources: resources, swiftSettings: settings)
}

/// The pure part of a service: decides, and may import nothing that does.
func engine(_ service: String, _ structures: [Target.Dependency] = []) -> Target {
    .target(
        name: "\(service)Engine", dependencies: ["Domain", "Resilience"] + structures,
        path: "Services/\(service)/Engine", swiftSettings: optimised)
}

/// The process of a service: wires its engine to the world.
func main(_ service: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: service, dependencies: dependencies, path: "Services/\(service)/Main", swiftSettings: settings)
}

func test(_ name: String, _ dependencies: [Target.Dependency], excluding: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies + ["TestKit"], path: "Tests/\(name)Tests",
        exclude: excluding,
        // An optimised build is for what the tests test: `make test` is to be over soon (decision 0079).
        swiftSettings: settings + [.unsafeFlags(["-Onone"], .when(configuration: .release))])
}

let hosted: [Target.Dependency] = [
    "Domain", "Resilience", "Wire", "Runtime", "Redis", "Postgres", "Bus", "Hosting", log,
]

let package = Package(
    name: "Linesman",
    platforms: [.macOS(.v15)],
    products: [
        .library(
            name: "Core",
            targets: [
                "Domain", "Resilience", "Wire", "Runtime", "Redis", "Postgres", "Alerting", "Venues", "Bus", "Matching",
                "Recording", "Hosting", "Servers", "Faults",
            ]),
        // For the measurements in `Benchmarks`.
        .library(name: "OrchestratorEngine", targets: ["OrchestratorEngine"]),
        .library(name: "BusTestKit", targets: ["BusTestKit", "RedisTestKit", "TestKit"]),
        .library(name: "PostgresTestKit", targets: ["PostgresTestKit"]),
        .library(name: "FleetTestKit", targets: ["FleetTestKit"]),
        .library(name: "OrderTestKit", targets: ["OrderTestKit"]),
        .executable(name: "orchestrator", targets: ["Orchestrator"]),
        .executable(name: "game-shard", targets: ["GameShard"]),
        .executable(name: "market-discovery", targets: ["MarketDiscovery"]),
        .executable(name: "signal-processor", targets: ["SignalProcessor"]),
        .executable(name: "execution-service", targets: ["ExecutionService"]),
        .executable(name: "venue-simulator", targets: ["VenueSimulator"]),
        .executable(name: "linesman", targets: ["Linesman"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // Base: pure, no I/O, no clock.
        shared("Domain", settings: optimised),
        shared("Resilience", settings: optimised),
        shared("Matching", ["Domain"]),
        shared("Recording", ["Domain"]),

        // Does.
        .systemLibrary(name: "CHiredis", path: "Shared/CHiredis"),
        .systemLibrary(name: "CLibPQ", path: "Shared/CLibPQ"),
        .systemLibrary(name: "CEpoll", path: "Shared/CEpoll"),
        .systemLibrary(name: "CSpawn", path: "Shared/CSpawn"),
        shared("Wire", ["Domain"]),
        shared("Runtime", ["Resilience", log, crypto, lifecycle, unixSignals, httpServer, "TOMLKit"] + nio),
        shared("Servers", ["CSpawn", "Runtime", "Resilience", log] + nio),
        shared(
            "Faults",
            ["Runtime", "Resilience", .product(name: "NIOHTTP1", package: "swift-nio")] + nio),
        shared("Redis", ["CHiredis", "Resilience", "Runtime", log, tls, crypto] + nio),
        shared(
            "Postgres", ["CLibPQ", "CEpoll", "Resilience", "Runtime", log] + nio,
            resources: [
                "M0001-fleet", "M0002-trading", "M0003-records", "M0004-positions", "M0005-failures", "M0006-drains",
                "M0007-lives", "M0008-balances", "M0009-desk", "M0010-audit", "M0011-exits",
                "M0012-reconciliation", "M0013-plans", "M0014-alerts", "M0015-settlements",
                "M0016-accounts", "M0017-reduce-only", "M0018-rules", "M0019-adoption",
            ].map { .embedInCode("Migrations/\($0).sql") }),
        shared("Alerting", ["Resilience", "Runtime", log, httpClient] + nio),
        shared(
            "Venues",
            [
                "Domain", "Resilience", "Runtime", "Matching", log, tls, crypto, httpClient,
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ] + nio + webSocket),
        shared("Bus", ["Domain", "Wire", "Redis", "Runtime", "Resilience", log] + nio),
        shared(
            "Hosting",
            [
                "Domain", "Resilience", "Wire", "Runtime", "Redis", "Postgres", "Bus", "Alerting", "Venues", log,
                httpServer, crypto,
            ] + nio),

        // Decides.
        engine("Orchestrator", [heap]),
        engine("GameShard"),
        engine("MarketDiscovery"),
        engine("SignalProcessor"),
        engine("ExecutionService"),
        engine("Chaos"),
        .target(
            name: "Simulation",
            dependencies: [
                "OrchestratorEngine", "GameShardEngine", "MarketDiscoveryEngine", "SignalProcessorEngine",
                "ExecutionServiceEngine", "Domain", "Resilience", heap, crypto,
            ], path: "Services/Simulation", swiftSettings: optimised),

        // Roof.
        main("Orchestrator", hosted + ["OrchestratorEngine", "Venues", "Alerting", httpServer]),
        main("GameShard", hosted + ["GameShardEngine", "Venues"]),
        main("MarketDiscovery", hosted + ["MarketDiscoveryEngine", "Venues"]),
        main("SignalProcessor", hosted + ["SignalProcessorEngine"]),
        main("ExecutionService", hosted + ["ExecutionServiceEngine", "Venues", "Matching"]),
        .executableTarget(
            name: "VenueSimulator",
            dependencies: ["Domain", "Runtime", "Matching", "Recording", "Resilience", log, httpServer] + nio
                + webSocket,
            path: "Services/VenueSimulator", swiftSettings: settings),
        .executableTarget(
            name: "Linesman",
            dependencies: hosted + [
                "ChaosEngine", "Faults", "Recording", "Servers", "Simulation", "Venues", "Alerting", arguments,
                crypto, httpClient, unixSignals,
            ]
                + nio,
            path: "Services/Linesman", swiftSettings: settings),

        // Tests.
        .target(
            name: "TestKit",
            dependencies: [
                "Faults", "Runtime", "Resilience", "Servers", log,
            ] + nio, path: "Tests/TestKit", swiftSettings: settings),
        test("Domain", ["Domain"]),
        test("Resilience", ["Resilience"]),
        test("Matching", ["Matching", "Domain", "Resilience"]),
        test("Recording", ["Recording", "Domain"]),
        test("Wire", ["Wire", "Domain"], excluding: ["Golden"]),
        test("Runtime", ["Runtime", "Resilience", "Servers", log] + nio),
        test("Servers", ["Servers", "ServersParent", "Runtime", "Resilience"]),
        .executableTarget(
            name: "ServersParent", dependencies: ["Servers"], path: "Tests/ServersParent", swiftSettings: settings),
        .target(
            name: "RedisTestKit", dependencies: ["Redis", "Runtime", "Resilience", "Servers", "TestKit"] + nio,
            path: "Tests/RedisTestKit", swiftSettings: settings),
        .target(
            name: "BusTestKit",
            dependencies: [
                "Bus", "Domain", "Redis", "RedisTestKit", "Resilience", "Runtime", "Servers", "TestKit", "Wire",
            ] + nio,
            path: "Tests/BusTestKit", swiftSettings: settings),
        .target(
            name: "FleetTestKit",
            dependencies: [
                "Bus", "BusTestKit", "Domain", "Postgres", "PostgresTestKit", "Recording", "Redis", "Resilience",
                "Runtime", "Servers", "TestKit", "Wire", httpClient,
            ] + nio,
            path: "Tests/FleetTestKit", swiftSettings: settings),
        .target(
            name: "OrderTestKit",
            dependencies: [
                "Bus", "BusTestKit", "Domain", "Hosting", "Postgres", "PostgresTestKit", "Recording", "Redis",
                "Resilience", "Runtime", "Servers", "TestKit", "Wire", log, httpClient,
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ] + nio,
            path: "Tests/OrderTestKit", swiftSettings: settings),
        test("Redis", ["Redis", "RedisTestKit", "Runtime", "Resilience", "Servers"] + nio),
        test(
            "RedisConformance",
            ["Redis", "RedisTestKit", "Bus", "Wire", "Domain", "Runtime", "Resilience", "Servers", log] + nio),
        test("Bus", ["Bus", "BusTestKit", "Redis", "RedisTestKit", "Wire", "Domain", "Runtime", "Resilience"] + nio),
        .target(
            name: "PostgresTestKit",
            dependencies: [
                "Faults", "Postgres", "Resilience", "Runtime", "Servers", "TestKit", log,
            ] + nio,
            path: "Tests/PostgresTestKit", swiftSettings: settings),
        .executableTarget(
            name: "JournalWriter", dependencies: ["Postgres", "Runtime", log] + nio, path: "Tests/JournalWriter",
            swiftSettings: settings),
        .executableTarget(
            name: "OutboxRelayer", dependencies: ["Postgres", "Runtime", log] + nio, path: "Tests/OutboxRelayer",
            swiftSettings: settings),
        test(
            "Postgres",
            ["Postgres", "PostgresTestKit", "JournalWriter", "OutboxRelayer", "Runtime", "Resilience", "Servers", log]
                + nio),
        test("Alerting", ["Alerting", "Runtime", "Resilience", "Servers", log] + nio),
        test(
            "Venues",
            [
                "Venues", "Domain", "Matching", "Runtime", "Resilience", "VenueSimulator", "Recording", log, crypto,
                tls, httpClient, .product(name: "CryptoExtras", package: "swift-crypto"),
            ] + nio + webSocket),
        test(
            "Hosting",
            [
                "Hosting", "Alerting", "Domain", "Wire", "Bus", "Redis", "Postgres", "PostgresTestKit", "Runtime",
                "Resilience", log,
            ] + nio),
        test("OrchestratorEngine", ["OrchestratorEngine", "Domain", "Resilience"]),
        test("Orchestrator", ["Orchestrator", "OrchestratorEngine", "Alerting"] + hosted),
        test("ChaosEngine", ["ChaosEngine", "Resilience"]),
        test("GameShardEngine", ["GameShardEngine", "Domain", "Resilience"]),
        test("Simulation", ["Simulation", "Domain", "Resilience"], excluding: ["Seeds.txt"]),
        test("MarketDiscoveryEngine", ["MarketDiscoveryEngine", "Domain", "Resilience"]),
        test("SignalProcessorEngine", ["SignalProcessorEngine", "ExecutionServiceEngine", "Domain", "Resilience"]),
        test("ExecutionServiceEngine", ["ExecutionServiceEngine", "Domain", "Resilience"]),
        test(
            "OrderPath",
            [
                "SignalProcessor", "ExecutionService", "GameShard", "Orchestrator", "SignalProcessorEngine",
                "ExecutionServiceEngine", "GameShardEngine", "OrchestratorEngine", "Linesman", "Servers", "Simulation",
                "OrderTestKit", "VenueSimulator", "Recording", "Faults", "Venues",
            ] + hosted),
        test(
            "VenueSimulator",
            ["VenueSimulator", "Domain", "Runtime", "Resilience", "Matching", "Recording", log, httpClient] + nio
                + webSocket),
        test(
            "Linesman",
            [
                "Linesman", "ChaosEngine", "Domain", "Hosting", "Postgres", "Recording", "Resilience", "Runtime",
                "Servers", "Simulation",
            ]),
        .executableTarget(
            name: "SuiteStub", dependencies: ["Runtime"], path: "Tests/SuiteStub", swiftSettings: settings),
        test(
            "System",
            [
                "SuiteStub", "Domain", "FleetTestKit", "OrderTestKit", "Recording", "Runtime", "Wire", "Postgres",
                "Redis", "Bus",
                "Servers", log, httpClient, httpServer, .product(name: "CryptoExtras", package: "swift-crypto"),
            ]
                + nio + webSocket),
        test("Tidy", []),
    ],
    swiftLanguageModes: [.v6]
)
