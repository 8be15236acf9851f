import Servers

/// The client and the bus beside C hiredis and redis-py: CPU of a message received, published, paced and journaled.
///
/// Every contender is a process of its own that measures itself, so neither servers nor harness are in a figure.
enum BusSuite {
    /// What can be measured alone.
    enum Part: String, CaseIterable {
        case subscribe
        case publish
        case paced
        case journal
    }

    static func run(_ options: Options) async throws -> Report {
        var report = Report(
            title: "bus: microseconds per message; medians of alternated slices after one that is discarded, "
                + "each contender a process of its own")
        let bench = BusBench(options: options)
        for part in Part.allCases where options.parts.isEmpty || options.parts.contains(part) {
            switch part {
            case .subscribe: try SubscribeBench.run(bench, &report)
            case .publish: try await PublishBench.run(bench, &report)
            case .paced: try await PacedBench.run(bench, &report)
            case .journal: try await JournalBench.run(bench, &report)
            }
        }
        Machine.describe(&report)
        return report
    }
}

/// Where the peers are, and how long to measure.
struct BusBench {
    let options: Options

    var rounds: Int { options.rounds }

    func hiredis(_ peer: String, _ arguments: [String], _ report: inout Report) throws(BenchError) -> ContenderProcess {
        let process = try ContenderProcess("hiredis", "\(options.peers)/\(peer)", arguments)
        report.set("hiredis_version", to: .text(process.version))
        return process
    }

    /// Nil, with the reason, where there is no redis-py.
    func redisPy(_ arguments: [String], _ report: inout Report) throws(BenchError) -> ContenderProcess? {
        guard let process = try PythonPeer.redis.start("redis-py", arguments, options) else { return nil }
        report.set("redispy_version", to: .text(process.version))
        return process
    }

    /// Runs `body` beside a real server.
    func withRedis<R>(_ body: (PrivateRedis) async throws -> R) async throws -> R {
        let folder = try TemporaryDirectory("bench")
        defer { folder.remove() }
        let server = try await PrivateRedis.start(in: folder.path)
        do {
            let result = try await body(server)
            await server.stop()
            return result
        } catch {
            await server.stop()
            throw error
        }
    }
}
