import Foundation
import Hosting
import Testing

@testable import Linesman

struct ReconcileCommandTests {
    private func record(_ verdict: ReconciliationRecord.Verdict) -> ReconciliationRecord {
        var record = ReconciliationRecord(
            verdict: verdict, lookedBy: "execution-service/1", lookedAt: 1_776_726_799_000_000)
        record.orders = 3
        record.balance = 1_000_000_000
        record.venueBalance = 999_000_000
        return record
    }

    @Test func `each verdict has its exit code`() {
        #expect(ReconcileReport.exitCode(record(.equal)) == 0 && ReconcileReport.exitCode(record(.ownBooks)) == 0)
        #expect(ReconcileReport.exitCode(record(.differs)) == 1)
        #expect(ReconcileReport.exitCode(record(.waiting)) == 75)
        #expect(ReconcileReport.exitCode(record(.unreachable)) == 75 && ReconcileReport.exitCode(nil) == 75)
    }

    @Test func `a difference is a line with both sides and who mends it`() {
        var differing = record(.differs)
        differing.differences = [
            .init(code: "position", subject: "M-1", market: "M-1", ours: 9_600, venues: 9_700, isMended: false),
            .init(code: "balance", subject: "", ours: 1_000_000_000, venues: 999_000_000, isMended: false),
            .init(code: "unbooked_fills", subject: "o-1", ours: 0, venues: 100, isMended: true),
            .init(code: "missing_fill", subject: "f-1", isMended: false),
        ]
        differing.haltedFor = ["position:M-1"]
        let stranger = ForeignFill(
            fill: "f-9", venueOrder: "v-9", market: "M-2", bought: "no", yesPrice: 4_000, quantity: 150, venueAt: 0)
        let lines = ReconcileReport.text(differing, [stranger], now: 0).split(separator: "\n").map(String.init)
        #expect(lines.first?.hasPrefix("DIFFERS, no new orders, looked at ") == true)
        func words(_ start: String) -> [Substring]? {
            lines.first { $0.drop { $0 == " " }.hasPrefix(start) }?.split(separator: " ")
        }
        #expect(words("position") == ["position", "M-1", "96.00", "97.00", "a", "person"])
        #expect(words("balance  ") == ["balance", "account", "1000.000000", "999.000000", "a", "person"])
        #expect(words("unbooked_fills") == ["unbooked_fills", "o-1", "0.00", "1.00", "Linesman"])
        #expect(words("missing_fill") == ["missing_fill", "f-1", "-", "-", "a", "person"])
        #expect(words("f-9") == ["f-9", "M-2", "no", "1.50", "at", "0.4000"])
        #expect(lines.contains { $0.contains("kill switch was engaged for position:M-1") })
    }

    @Test func `an adoption needs a reason, and takes any number of fills`() throws {
        #expect(throws: (any Error).self) { try ReconcileCommand.Adopt.parse([]) }
        #expect(throws: (any Error).self) { try ReconcileCommand.Adopt.parse(["--reason", " "]) }
        #expect(throws: (any Error).self) { try ReconcileCommand.Adopt.parse(["--reason", "x", "--fill", " "]) }
        #expect(throws: (any Error).self) { try ReconcileCommand.Adopt.parse(["--reason", "x", "--within", "3601"]) }
        let all = try ReconcileCommand.Adopt.parse(["--reason", "restored"])
        #expect(all.fills.isEmpty && all.within == 30 && all.reason == "restored")
        let some = try ReconcileCommand.Adopt.parse(["--fill", "f-1", "f-2", "--fill", "f-3", "--reason", "restored"])
        #expect(some.fills == ["f-1", "f-2", "f-3"])
    }

    @Test func `what became of each fill is a line`() {
        let kept = ForeignFill(
            fill: "f-9", venueOrder: "v-9", market: "M-2", bought: "no", yesPrice: 4_000, quantity: 150, fee: nil,
            venueAt: 0)
        func words(_ line: AdoptionLine) -> [Substring] { ReconcileReport.line(line).split(separator: " ") }
        let told = AdoptionLine(fill: "f-9", kept: kept, order: "o-1", fee: 20_000)
        #expect(
            words(told) == [
                "adopted", "f-9", "M-2", "no", "1.50", "at", "0.4000,", "fee", "0.020000,", "order", "o-1",
            ])
        let computed = AdoptionLine(fill: "f-9", kept: kept, order: "o-1", fee: 20_000, isFeeComputed: true)
        #expect(ReconcileReport.line(computed).contains("fee 0.020000 by the published schedule, order o-1"))
        let refused = AdoptionLine(fill: "f-8", kept: nil, refusal: "not_kept", explanation: "no such fill")
        #expect(words(refused) == ["refused", "f-8", "not_kept:", "no", "such", "fill"])
        let before = AdoptionLine(fill: "f-9", kept: kept, order: "o-1", refusal: "adopted", explanation: "before")
        #expect(ReconcileReport.line(before).hasSuffix("adopted: before, order o-1"))
    }

    @Test func `without a look there is nothing to show, and JSON says the same as the text`() throws {
        #expect(ReconcileReport.text(nil, [], now: 0).hasPrefix("not compared yet"))
        let text = try ReconcileReport.document(record(.unreachable), [])
        let document = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let comparison = document?["comparison"] as? [String: Any]
        #expect(comparison?["verdict"] as? String == "unreachable" && comparison?["orders"] as? Int == 3)
    }
}
