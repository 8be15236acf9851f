import Crypto

/// An entry of a stream: its id and its fields in order.
public struct RedisStreamEntry: Hashable, Sendable {
    public let id: String
    public let fields: [[UInt8]]

    /// The value of a field.
    public subscript(name: String) -> [UInt8]? {
        var index = 0
        while index + 1 < fields.count {
            if fields[index].elementsEqual(name.utf8) { return fields[index + 1] }
            index += 2
        }
        return nil
    }

    init(_ reply: RESPValue) throws {
        guard let parts = reply.array, parts.count == 2, let id = parts[0].text, let fields = parts[1].array else {
            throw RedisError(.unexpectedReply, "not a stream entry")
        }
        self.id = id
        self.fields = fields.compactMap(\.bytes)
    }
}

/// A Lua script and the digest the server knows it by.
public struct RedisScript: Hashable, Sendable {
    public let source: String
    /// SHA-1 in lower-case hexadecimal digits.
    public let digest: String

    public init(_ source: String) {
        self.source = source
        digest = Insecure.SHA1.hash(data: Array(source.utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return byte < 16 ? "0" + digits : digits
        }.joined()
    }

    /// The call by digest, for a server that is known to have the script.
    public func command(keys: [String], arguments: [RedisArgument]) -> [RedisArgument] {
        var command: [RedisArgument] = ["EVALSHA", .text(digest), RedisArgument(keys.count)]
        command.reserveCapacity(3 + keys.count + arguments.count)
        for key in keys { command.append(.text(key)) }
        command.append(contentsOf: arguments)
        return command
    }
}

extension RedisClient {
    public func ping(timeout: Duration? = nil) async throws {
        _ = try await send(["PING"], timeout: timeout)
    }

    public func get(_ key: String) async throws -> [UInt8]? {
        try await send(["GET", .text(key)]).bytes
    }

    /// Sets a key; `expires` is its time to live, nil keeps it for ever.
    public func set(_ key: String, to value: RedisArgument, expires: Duration? = nil) async throws {
        let life = expires.map { [RedisArgument.text("PX"), .integer(max(1, $0.wholeMilliseconds))] } ?? []
        _ = try await send(["SET", .text(key), value] + life)
    }

    @discardableResult
    public func delete(_ keys: String...) async throws -> Int {
        Int(try await send(["DEL"] + keys.map { .text($0) }).integer ?? 0)
    }

    /// - Returns: how many subscribers the server handed it to.
    @discardableResult
    public func publish(_ payload: RedisArgument, on channel: String) async throws -> Int {
        Int(try await send(["PUBLISH", .text(channel), payload]).integer ?? 0)
    }

    /// Runs a script by its digest, and by its source where the server does not know it yet.
    ///
    /// `server` is the connection it must run on, any when nil.
    public func evaluate(
        _ script: RedisScript, keys: [String], arguments: [RedisArgument], on server: RedisServer? = nil,
        timeout: Duration? = nil
    ) async throws -> RESPValue {
        let rest = [RedisArgument(keys.count)] + keys.map { .text($0) } + arguments
        do {
            return try await send(["EVALSHA", .text(script.digest)] + rest, on: server, timeout: timeout)
        } catch let error as RedisError where error.code == .noScript {
            return try await send(["EVAL", .text(script.source)] + rest, on: server, timeout: timeout)
        }
    }

    /// Entries from `start` to `end` in order; `(` before an id leaves it out.
    public func range(
        of stream: String, from start: String = "-", to end: String = "+", count: Int
    ) async throws -> [RedisStreamEntry] {
        let reply = try await send(["XRANGE", .text(stream), .text(start), .text(end), "COUNT", RedisArgument(count)])
        return try (reply.array ?? []).map { try RedisStreamEntry($0) }
    }

    /// The newest entries of a stream, newest first.
    public func newest(of stream: String, count: Int) async throws -> [RedisStreamEntry] {
        let reply = try await send(["XREVRANGE", .text(stream), "+", "-", "COUNT", RedisArgument(count)])
        return try (reply.array ?? []).map { try RedisStreamEntry($0) }
    }

    /// The newest entry of a stream.
    public func last(of stream: String) async throws -> RedisStreamEntry? {
        try await newest(of: stream, count: 1).first
    }
}
