import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers

/// A redis-server with an append-only file that may be killed, stopped, and robbed of the last second of its file.
public final class FaultyRedis: Sendable {
    /// How much a loss of power may cost with `appendfsync everysec`.
    public static let unsynced = Duration.seconds(1)

    public let server: PrivateRedis
    private let directory: TemporaryDirectory
    private let clock: MachineClock
    /// Sizes of the file, oldest first.
    private let sizes = NIOLockedValueBox<[(at: MachineInstant, bytes: UInt64)]>([])

    private init(server: PrivateRedis, directory: TemporaryDirectory, clock: MachineClock) {
        self.server = server
        self.directory = directory
        self.clock = clock
    }

    deinit { directory.remove() }

    /// Runs `body` with a server that ends with it.
    public static func run<R: Sendable>(
        _ options: [String] = [], clock: MachineClock = .real,
        _ body: @escaping @Sendable (FaultyRedis) async throws -> R
    ) async throws -> R {
        let directory = try TemporaryDirectory("redis")
        let server = try await PrivateRedis.start(in: directory.path, appendOnly: true, options: options, clock: clock)
        let faulty = FaultyRedis(server: server, directory: directory, clock: clock)
        let watching = Task { await faulty.watchFile() }
        let result: Result<R, any Error>
        do {
            result = .success(try await body(faulty))
        } catch {
            result = .failure(error)
        }
        watching.cancel()
        await server.kill()
        return try result.get()
    }

    /// kill -9, down for a while, and started again.
    public func kill(downFor pause: Duration) async throws {
        await server.kill()
        try await clock.sleep(for: pause)
        try await server.startAgain()
    }

    /// As `kill`, and what was written in the last second before is gone.
    public func losePower(downFor pause: Duration) async throws {
        let moment = clock.now.advanced(by: .zero - Self.unsynced)
        await server.kill()
        if let file, let kept = sizes.withLockedValue({ ($0.last { $0.at <= moment } ?? $0.first)?.bytes }) {
            let handle = try FileHandle(forWritingTo: file)
            try handle.truncate(atOffset: min(kept, try handle.seekToEnd()))
            try handle.close()
        }
        sizes.withLockedValue { $0 = [] }
        try await clock.sleep(for: pause)
        try await server.startAgain()
    }

    /// Ended in good order, down for a while, and started again.
    public func restart(downFor pause: Duration) async throws {
        await server.stop()
        try await clock.sleep(for: pause)
        try await server.startAgain()
    }

    /// SIGSTOP for a while.
    public func freeze(for pause: Duration) async throws {
        server.pause()
        try await clock.sleep(for: pause)
        server.resume()
    }

    private var file: URL? {
        let folder = URL(fileURLWithPath: "\(server.directory)/append-\(server.port)")
        // Not there before the server has made it.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let increments = names.filter { $0.hasSuffix(".incr.aof") }
        return increments.max { ($0.count, $0) < ($1.count, $1) }.map { folder.appendingPathComponent($0) }
    }

    private func watchFile() async {
        while !Task.isCancelled {
            if let file, let attributes = try? FileManager.default.attributesOfItem(atPath: file.path),
                let bytes = attributes[.size] as? UInt64
            {
                let now = clock.now
                sizes.withLockedValue { sizes in
                    sizes.append((now, bytes))
                    sizes.removeAll { now.since($0.at) > .seconds(10) }
                }
            }
            // Thrown only by cancellation, which the loop sees.
            try? await clock.sleep(for: .milliseconds(50))
        }
    }
}
