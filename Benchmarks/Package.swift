// swift-tools-version:6.2
import PackageDescription

// The measurements of `make bench`, a package of its own so that the suite never builds them.

let settings: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "LinesmanBenchmarks",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "linesman-bench", targets: ["linesman-bench"])
    ],
    dependencies: [
        .package(name: "Linesman", path: ".."),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .target(name: "CTimer"),
        .executableTarget(
            name: "linesman-bench",
            dependencies: [
                "CTimer",
                .product(name: "Core", package: "Linesman"),
                .product(name: "OrchestratorEngine", package: "Linesman"),
                .product(name: "BusTestKit", package: "Linesman"),
                .product(name: "PostgresTestKit", package: "Linesman"),
                .product(name: "FleetTestKit", package: "Linesman"),
                .product(name: "OrderTestKit", package: "Linesman"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/LinesmanBench", swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
