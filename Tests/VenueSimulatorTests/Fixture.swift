import Domain
import Foundation
import Logging
import Recording
import Resilience
import Runtime
import Testing

@testable import VenueSimulator

/// A short game that every test of the simulator plays.
enum Fixture {
    static let home: MarketID = "KXNBAGAME-26APR20TORCLE-CLE"
    static let away: MarketID = "KXNBAGAME-26APR20TORCLE-TOR"

    static let text = """
        linesman-recording\t1
        name\tshort
        attribution\tmade for a test
        synthetic\tall of it
        game\t401869369\tnba\t2026-04-20T23:00:00.000000Z\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors
        start\t2026-04-20T23:10:00.000000Z
        market\tKXNBAGAME-26APR20TORCLE-CLE\tkalshi\tKXNBAGAME-26APR20TORCLE\thome\tlinear_cent\t1.0000\tA vs B Winner?
        market\tKXNBAGAME-26APR20TORCLE-TOR\tkalshi\tKXNBAGAME-26APR20TORCLE\taway\tlinear_cent\t0.0000\tA vs B Winner?
        depth\t3\t40\t10
        facts\t15
        0\tstatus\tscheduled\t0\t0.0\t0\t0
        0\tquote\t0\t0.7900\t0.8000
        0\tquote\t1\t0.2000\t0.2100
        8000000\tstatus\tlive\t1\t720.0\t0\t0
        12000000\tplay\t401869369-1\t1\t703.0\t2\t0\t0.6710
        20000000\tquote\t0\t0.8200\t0.8300
        20000000\tquote\t1\t0.1700\t0.1800
        31000000\tplay\t401869369-2\t1\t45.5\t2\t3\t0.6010
        32000000\tquote\t0\t0.7800\t0.8000
        40000000\tplay\t401869369-3\t2\t600.0\t5\t3\t-
        50000000\tstatus\tfinal\t4\t0.0\t5\t3
        60000000\tclosed\t0
        60000000\tclosed\t1
        70000000\tsettled\t0
        70000000\tsettled\t1

        """

    static func recording() throws -> Recording { try Recording(text: text) }

    static func exchange(balance: Int64 = 1_000, refusesDuplicates: Bool = true) throws -> SimulatedExchange {
        let recording = try recording()
        var exchange = SimulatedExchange(
            header: recording.header, balance: .dollars(balance), refusesDuplicates: refusesDuplicates)
        for fact in recording.moments[0].facts { _ = exchange.apply(fact, at: recording.start) }
        return exchange
    }

    static func settings(_ values: [String: String] = [:]) -> SimulatorSettings {
        SimulatorSettings(SettingsReader(environment: values))
    }

    static func order(
        _ side: BookSide, _ cents: Int64, _ contracts: Int64, _ force: TimeInForce = .immediateOrCancel,
        id: String = "a", market: MarketID = home
    ) -> PlaceOrder {
        PlaceOrder(
            market: market, clientOrderID: id, side: side, price: .cents(cents), quantity: .contracts(contracts),
            timeInForce: force)
    }

    /// Raw recordings beside the repository; nil when there are none.
    static func raw(_ path: String) -> [String]? {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let shared =
            ProcessInfo.processInfo.environment["LINESMAN_SHARED_DATA"].map { URL(filePath: $0) }
            ?? root.deletingLastPathComponent().appending(path: "shared/data")
        guard let text = try? String(contentsOf: shared.appending(path: path), encoding: .utf8) else { return nil }
        return text.split(separator: "\n").map(String.init)
    }
}

extension Result {
    var refusal: Failure? { if case .failure(let error) = self { error } else { nil } }
}
