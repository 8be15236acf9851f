import Hosting
import Runtime
import Testing

/// An order has arrived, or never will, before anybody may conclude that it never was (DESIGN rule 6).
@Suite struct SubmitWindowTests {
    private func read(wait: String, timeout: String) throws -> SubmitWindow {
        let environment = ["NON_ACCEPTANCE_WAIT_SECS": wait, "ORDER_SUBMIT_TIMEOUT_MS": timeout]
        let reader = SettingsReader(
            environment: environment.merging(["DATABASE_URL": "postgres://u:p@localhost/d"]) { $1 })
        let settings = ExecutionServiceSettings(reader)
        try reader.finish()
        return settings.window
    }

    /// The longest that an order is not yet written.
    private func longestHoldUp(_ window: SubmitWindow) -> Duration {
        var permitted = Duration.zero
        var refused = window.proofWait
        while refused - permitted > .nanoseconds(1) {
            let middle = permitted + (refused - permitted) / 2
            if window.permits(heldUp: middle) { permitted = middle } else { refused = middle }
        }
        return permitted
    }

    @Test func `hold-up, time-out and grace end before the first paging that counts, whatever is set`() {
        for wait in 1...600 {
            let proofWait = Duration.seconds(wait)
            let timeouts = [50, 500, 999, 1_000, 5_000, 60_000, wait * 499, wait * 500, wait * 501, wait * 1_000]
            for timeout in timeouts {
                let window = SubmitWindow(proofWait: proofWait, timeout: .milliseconds(timeout))
                let last = longestHoldUp(window) + window.timeout + SubmitWindow.grace
                #expect(last < proofWait, "wait \(wait) s, time-out \(timeout) ms: \(last)")
            }
        }
    }

    @Test func `the shortest wait leaves the grace its quarter, and not more`() {
        let window = SubmitWindow(proofWait: SubmitWindow.shortestProofWait, timeout: .seconds(60))
        #expect(window.timeout == .milliseconds(500))
        #expect(window.permits(heldUp: .milliseconds(249)))
        #expect(!window.permits(heldUp: .milliseconds(250)))
        #expect(SubmitWindow.grace * 4 == SubmitWindow.shortestProofWait)
    }

    @Test func `a time-out of half the wait is read as it is, and a longer one is a contradiction`() throws {
        #expect(try read(wait: "10", timeout: "5000").timeout == .seconds(5))
        #expect(try read(wait: "1", timeout: "500").timeout == .milliseconds(500))
        let error = try #require(throws: SettingsError.self) { try read(wait: "10", timeout: "5001") }
        #expect("\(error)".contains("ORDER_SUBMIT_TIMEOUT_MS"), "\(error)")
        #expect(throws: SettingsError.self) { try read(wait: "0.999", timeout: "100") }
    }
}
