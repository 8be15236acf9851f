import Domain
import Foundation
import Servers
import Wire

/// The server that costs nothing: plays prepared frames to one subscriber as fast as it takes them.
final class Firehose {
    let port: String
    private let process: ContenderProcess
    private let folder: TemporaryDirectory

    init(peers: String) throws {
        folder = try TemporaryDirectory("firehose")
        process = try ContenderProcess("firehose", "\(peers)/firehose", [])
        port = process.greeting
    }

    deinit { folder.remove() }

    /// What a slice plays: a file of frames, and how often.
    struct Play {
        let channel: String
        let file: String
        let times: Int
        /// Bytes of all payloads.
        let payloadBytes: Int
    }

    /// The same payload over and over, `count` times.
    func plain(_ channel: String, payload size: Int, count: Int) throws -> Play {
        let block = 1_000
        precondition(count.isMultiple(of: block), "a slice is a multiple of \(block) messages")
        let payload = Array(repeating: UInt8(ascii: "x"), count: size)
        let file = try write(channel, Array(repeating: payload, count: block))
        return Play(channel: channel, file: file, times: count / block, payloadBytes: size * count)
    }

    /// Envelopes of one source with sequences from 1 to `count`.
    func envelopes(_ channel: String, count: Int) throws -> Play {
        let payloads = try (1...count).map { try Sample.envelope(sequence: Int64($0)) }
        return Play(
            channel: channel, file: try write(channel, payloads), times: 1,
            payloadBytes: payloads.reduce(0) { $0 + $1.count })
    }

    func play(_ play: Play) throws(BenchError) {
        try process.tell("play \(play.channel) \(play.file) \(play.times)")
    }

    private func write(_ channel: String, _ payloads: [[UInt8]]) throws -> String {
        let path = "\(folder.path)/\(channel).resp"
        let head = Array("*3\r\n$7\r\nmessage\r\n$\(channel.utf8.count)\r\n\(channel)\r\n".utf8)
        var frames = Data()
        for payload in payloads {
            frames += head
            frames += Array("$\(payload.count)\r\n".utf8)
            frames += payload
            frames += Array("\r\n".utf8)
        }
        try frames.write(to: URL(fileURLWithPath: path))
        return path
    }
}

/// The message that the bus carries in its measurements.
enum Sample {
    static func price() throws -> PriceUpdate {
        PriceUpdate(
            game: "401869369", market: "KXNBAGAME-26JUL01TORCLE-CLE",
            yesBid: try BookLevel(price: .cents(62), quantity: .contracts(140)),
            yesAsk: try BookLevel(price: .cents(64), quantity: .contracts(85)),
            at: try VenueInstant(microseconds: 1_782_864_000_000_000))
    }

    static func envelope(sequence: Int64) throws -> [UInt8] {
        let envelope = Envelope(
            source: "game-shard/shard-01", incarnation: "f3b0a1de-9f7c-4a55-8f0e-2f4f6a9f2f10", sequence: sequence,
            trace: nil, sentAt: 1_782_864_000_000_000, body: try price())
        return Array(try JSONEncoder().encode(envelope))
    }
}
