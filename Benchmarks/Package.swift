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
        .package(name: "Linesman", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "linesman-bench",
            dependencies: [.product(name: "Core", package: "Linesman")],
            path: "Sources/LinesmanBench", swiftSettings: settings)
    ],
    swiftLanguageModes: [.v6]
)
