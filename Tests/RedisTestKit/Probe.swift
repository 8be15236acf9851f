import NIOCore
import NIOPosix

extension OwnRedis {
    /// Asks the server on a connection of its own, without the client under test.
    ///
    /// - Returns: the lines of the reply without lengths and type marks: `["a", "1"]` for PUBSUB NUMSUB a.
    public func ask(_ words: String...) async throws -> [String] { try await ask(words) }

    public func ask(_ words: [String]) async throws -> [String] { try await Self.ask(port: port, words) }

    /// Asks any server on loopback.
    public static func ask(port: Int, _ words: [String]) async throws -> [String] {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(10))
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            // The server closes after QUIT, so the end of the reply is the end of the stream.
            try await outbound.write(ByteBuffer(string: command(words) + command(["QUIT"])))
            var reply = ByteBuffer()
            for try await bytes in inbound { reply.writeImmutableBuffer(bytes) }
            let lines = String(buffer: reply).split(whereSeparator: \.isNewline).dropLast()
            return lines.filter { !$0.hasPrefix("$") && !$0.hasPrefix("*") }.map { line in
                line.hasPrefix(":") || line.hasPrefix("+") ? String(line.dropFirst()) : String(line)
            }
        }
    }

    private static func command(_ words: [String]) -> String {
        "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
    }

    /// Subscribers of a channel, as the server counts them.
    public func subscribers(of channel: String) async throws -> Int {
        try await ask("PUBSUB", "NUMSUB", channel).last.flatMap { Int($0) } ?? -1
    }

    /// How many subscribers the server handed this message to.
    public func publish(_ payload: String, on channel: String) async throws -> Int {
        try await ask("PUBLISH", channel, payload).last.flatMap { Int($0) } ?? -1
    }
}
