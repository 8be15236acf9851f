import Domain
import ExecutionServiceEngine
import Resilience

/// What the account has asked of its venue, and whether that was within the venue's figures.
///
/// Counted anew, window by window, and not as the bucket of `AccountBudget` counts.
struct BudgetWatch {
    private struct Grant {
        let at: MachineInstant
        let tokens: Int64
    }

    private var grants: [Grant] = []
    private var wantsNoneUntil = MachineInstant.origin
    private(set) var waits = 0

    /// What is wrong with a request that was granted; nil when nothing is.
    mutating func granted(
        _ request: AccountBudget.Request, _ limits: AccountBudget.Limits, at now: MachineInstant
    ) -> String? {
        grants.append(Grant(at: now, tokens: request == .order ? limits.order : limits.cancel))
        if request == .order, now < wantsNoneUntil { return "an order is stored while the venue wants none" }
        var asked: Int64 = 0
        for grant in grants.reversed() {
            asked += grant.tokens
            let passed = now.microseconds - grant.at.microseconds + 1
            let back = (passed * limits.tokensPerSecond + 999_999) / 1_000_000
            if asked > limits.burst + back { return "\(asked) tokens are more than the budget of a window" }
            if request == .order, asked > limits.burst - limits.reserve + back {
                return "an order takes what is kept for cancels"
            }
        }
        return nil
    }

    mutating func waited() { waits += 1 }

    mutating func refused(_ pause: Duration, at now: MachineInstant) {
        wantsNoneUntil = max(wantsNoneUntil, now.advanced(by: pause))
    }
}
