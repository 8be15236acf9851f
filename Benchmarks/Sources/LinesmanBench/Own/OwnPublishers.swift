import Bus
import NIOConcurrencyHelpers
import Redis
import Wire

/// Publishes `depth` at a time on one connection, without waiting in between.
final class OwnPublisher: OwnRole {
    private let client: RedisClient
    private let channel: String
    private let payload: [UInt8]
    private let depth: Int

    init(_ client: RedisClient, _ channel: String, bytes: Int, depth: Int) throws {
        self.client = client
        self.channel = channel
        self.depth = depth
        payload = Array(repeating: UInt8(ascii: "x"), count: bytes)
    }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let watch = try Stopwatch()
        var left = count
        while left > 0 {
            let size = min(left, depth)
            try await publish(size)
            left -= size
        }
        return try watch.read() + [Double(count)]
    }

    private func publish(_ size: Int) async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            let batch = Batch(size, done)
            for _ in 0..<size {
                client.enqueue(["PUBLISH", .text(channel), .bytes(payload)]) { batch.take($0) }
            }
        }
    }

    /// Waits for the replies of one batch.
    private final class Batch: Sendable {
        private let state: NIOLockedValueBox<(left: Int, failure: RedisError?)>
        private let done: CheckedContinuation<Void, any Error>

        init(_ size: Int, _ done: CheckedContinuation<Void, any Error>) {
            state = NIOLockedValueBox((size, nil))
            self.done = done
        }

        func take(_ reply: Result<RESPValue, RedisError>) {
            let failure = state.withLockedValue { state -> RedisError?? in
                state.left -= 1
                if case .failure(let error) = reply { state.failure = error }
                return state.left == 0 ? .some(state.failure) : .none
            }
            guard let failure else { return }
            if let failure { done.resume(throwing: failure) } else { done.resume() }
        }
    }
}

/// Publishes from many tasks at once, each of which waits for its reply.
final class OwnTasks: OwnRole {
    private let client: RedisClient
    private let channel: String
    private let payload: [UInt8]
    private let tasks: Int

    init(_ client: RedisClient, _ channel: String, bytes: Int, tasks: Int) throws {
        self.client = client
        self.channel = channel
        self.tasks = tasks
        payload = Array(repeating: UInt8(ascii: "x"), count: bytes)
    }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let watch = try Stopwatch()
        try await Tasks.share(count, among: tasks) { [client, payload, channel] in
            try await client.publish(.bytes(payload), on: channel)
        }
        return try watch.read()
    }
}

/// Publishes messages through the bus, from one task or several.
final class OwnBusPublisher: OwnRole {
    private let client: RedisClient
    private let bus: Bus
    private let channel: Channel<PriceUpdate>
    private let message: PriceUpdate
    private let tasks: Int

    init(_ client: RedisClient, _ channel: String, journaled: Bool, _ tasks: Int) async throws {
        self.client = client
        self.tasks = tasks
        let bus = try OwnBus.make(client)
        self.bus = bus
        self.channel = Channel(channel, journaled ? .journaled(keeping: 10_000) : .hint)
        message = try Sample.price()
        Task { try await bus.run() }
    }

    /// The third figure counts the commands that carried the messages.
    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let before = try await commands()
        let watch = try Stopwatch()
        try await Tasks.share(count, among: tasks) { [bus, channel, message] in
            switch try await bus.publish(message, on: channel) {
            case .sent, .stored: break
            case .dropped, .queued: throw BenchError(.disagreement, "a message was not published")
            }
        }
        return try watch.read() + [Double(try await commands() - before)]
    }

    /// Calls of the commands that publish, as the server counts them; PUBLISH within a script is not a round trip.
    private func commands() async throws -> Int {
        let statistics = try await client.send(["INFO", "commandstats"]).text ?? ""
        let names = channel.kind.journalLength == nil ? ["publish"] : ["evalsha", "eval"]
        return statistics.split(whereSeparator: \.isNewline).reduce(0) { sum, line in
            guard names.contains(where: { line.hasPrefix("cmdstat_\($0):calls=") }) else { return sum }
            return sum + (Int(line.drop { $0 != "=" }.dropFirst().prefix { $0 != "," }) ?? 0)
        }
    }
}

enum Tasks {
    /// Runs `body` `count` times, shared evenly among tasks that run at once.
    static func share(
        _ count: Int, among tasks: Int, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        precondition(count.isMultiple(of: tasks), "a slice is shared evenly")
        guard tasks > 1 else {
            for _ in 0..<count { try await body() }
            return
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks {
                group.addTask { for _ in 0..<(count / tasks) { try await body() } }
            }
            try await group.waitForAll()
        }
    }
}
