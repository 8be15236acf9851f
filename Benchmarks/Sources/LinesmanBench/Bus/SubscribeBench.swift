import Foundation
import Servers
import Wire

/// Messages received from a server that costs nothing.
enum SubscribeBench {
    private static let count = 100_000
    /// Decoding takes longer than reading.
    private static let decodedCount = 20_000

    static func run(_ bench: BusBench, _ report: inout Report) throws {
        let firehose = try Firehose(peers: bench.options.peers)
        for (suffix, bytes) in [("100b", 100), ("1k", 1024)] {
            try plain(bench, firehose, suffix, bytes, &report)
        }
        try decoded(bench, firehose, &report)
        let hasGo = (try? Programs.find("go", package: "golang-go")) != nil  // thrown: not installed
        let goReason = hasGo ? "no Go program among the peers yet" : "no Go toolchain"
        report.add(
            Bar("message received, CPU against go-redis", nil, .atMost(0.5), skipped: goReason),
            as: "subscribe_cpu_ratio_vs_goredis")
        report.note("received: \(bench.rounds) slices of \(count) messages, decoded ones of \(decodedCount)")
    }

    private static func plain(
        _ bench: BusBench, _ firehose: Firehose, _ suffix: String, _ bytes: Int, _ report: inout Report
    ) throws {
        // A channel each, of equal length: the same bytes for everybody, and only one subscriber to play to.
        let plays = try ["a", "b", "c"].map { name in
            try firehose.plain("bench-\(suffix)-\(name)", payload: bytes, count: count)
        }
        func arguments(_ index: Int) -> [String] { ["\(firehose.port)", plays[index].channel] }
        var contenders = [
            try ContenderProcess.ours(["subscribe"] + arguments(0)),
            try bench.hiredis("subscribe", arguments(1), &report),
        ]
        if let redisPy = try bench.redisPy(arguments(2), &report) { contenders.append(redisPy) }
        let slices = try ProcessSlices.measure(contenders, rounds: bench.rounds) { index in
            let figures = try contenders[index].slice(count) { () throws(BenchError) in
                try firehose.play(plays[index])
            }
            guard figures.count == 3, Int(figures[2]) == plays[index].payloadBytes else {
                throw BenchError(.disagreement, "\(contenders[index].name) counts other bytes than were sent")
            }
            return figures
        }
        let figures = zip(contenders, slices).map { Figure($0.name, $1, per: count) }
        add(figures, suffix, "\(bytes) B", &report)
    }

    /// Ours, hiredis and, where it is there, redis-py.
    private static func add(_ figures: [Figure], _ suffix: String, _ size: String, _ report: inout Report) {
        let peers = [(name: "hiredis", key: "hiredis", limit: 1.5), (name: "redis-py", key: "redispy", limit: 0.15)]
        for (index, peer) in peers.enumerated() {
            let figure = figures.count > index + 1 ? figures[index + 1] : nil
            if figure != nil {
                report.add(
                    ReportLine(title: "message received, \(size), CPU", ours: figures[0], peer: figure),
                    as: "subscribe_cpu_us_\(suffix)", peerAs: "subscribe_\(peer.key)_cpu_us_\(suffix)")
            }
            report.add(
                Bar(
                    "message received, \(size), CPU against \(peer.name)", figure.map { figures[0].median / $0.median },
                    .atMost(peer.limit), skipped: "no \(peer.name)"),
                as: "subscribe_cpu_ratio_vs_\(peer.key)_\(suffix)")
        }
    }

    /// What the envelope costs, through the whole bus and alone.
    private static func decoded(_ bench: BusBench, _ firehose: Firehose, _ report: inout Report) throws {
        let play = try firehose.envelopes("bench-decoded", count: decodedCount)
        let ours = try ContenderProcess.ours(["subscribe-bus", "\(firehose.port)", play.channel])
        let slices = try ProcessSlices.measure([ours], rounds: bench.rounds) { _ in
            try ours.slice(decodedCount) { () throws(BenchError) in try firehose.play(play) }
        }
        let size = play.payloadBytes / decodedCount
        report.add(
            ReportLine(
                title: "message received by the bus and decoded, \(size) B, CPU",
                ours: Figure("ours", slices[0], per: decodedCount), peer: nil),
            as: "subscribe_decoded_cpu_us")
        let bytes = Data(try Sample.envelope(sequence: 412))
        let decoding = Contender(name: "ours", unitsPerPass: 1) {
            Int(try JSONDecoder().decode(Envelope<PriceUpdate>.self, from: bytes).sequence)
        }
        let alone = try Slices.measure([decoding], rounds: bench.rounds)[0]
        report.add(
            ReportLine(title: "the decoding alone, CPU", ours: alone, peer: nil), as: "envelope_decode_cpu_us")
        report.set("envelope_bytes", to: .number(Double(size)))
    }
}
