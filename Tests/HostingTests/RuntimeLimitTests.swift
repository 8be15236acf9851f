import Hosting
import Runtime
import Testing

/// What may be changed while the suite runs, and what is refused (CHECKLIST H37).
struct RuntimeLimitTests {
    private let configured = ["DATABASE_URL": "postgres://linesman@127.0.0.1/linesman"]

    @Test func `each limit is a setting of the signal-processor, and a good value of it counts`() throws {
        let reader = SettingsReader(environment: configured)
        _ = SignalProcessorSettings(reader)
        #expect(Set(RuntimeLimits.keys).isSubset(of: reader.declared.map(\.key)))
        #expect(RuntimeLimits.keys == RuntimeLimits.keys.sorted())
        let changed = try RuntimeLimits.settings(
            ["MAX_GAME_EXPOSURE": "12.5", "MAX_DAILY_LOSS": "7"],
            over: configured.merging(["MAX_GAME_EXPOSURE": "40", "MIN_STAKE": "2"]) { $1 }, nil)
        #expect(changed.gameExposure == .cents(1_250) && changed.dailyLoss == .dollars(7))
        #expect(changed.minimumStake == .dollars(2), "the rest is as configured")
    }

    @Test(arguments: [
        ("MAX_GAME_EXPOSURE", "much"), ("MAX_GAME_EXPOSURE", "NaN"), ("MAX_GAME_EXPOSURE", ""),
        ("MAX_GAME_EXPOSURE", "500"), ("MAX_GAME_EXPOSURE", "0.5"), ("MAX_DAILY_LOSS", "-1"), ("MAX_DAILY_LOSS", "0"),
        ("KELLY_FRACTION", "2"), ("MAX_POSITIONS_PER_GAME", "1.5"), ("MIN_STAKE", "101"), ("MIN_EDGE_PCT", "101"),
        ("PAPER_TRADING", "0"), ("DATABASE_URL", "postgres://x"), ("no_such", "1"),
    ])
    func `a value that is not valid, by itself or beside the others, is refused by name`(key: String, value: String)
        throws
    {
        do {
            _ = try RuntimeLimits.settings([key: value], over: configured, nil)
            Issue.record("\(key) = \(value) was taken")
        } catch {
            #expect(!error.problems.isEmpty && error.problems.allSatisfy { $0.key.contains(key) }, "\(error)")
        }
    }
}
