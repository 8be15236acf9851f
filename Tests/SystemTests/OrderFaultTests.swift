import Domain
import OrderTestKit
import Runtime
import Testing

/// The order path as real processes under everything that goes wrong at once (DESIGN rules 6 and 7, CHECKLIST R86, H5,
/// S22, N11).
@Suite(.processes) struct OrderFaultTests {
    /// As many as `make test` has time for; `make soak-orders` sends twenty times more.
    private static let submits = 5_000

    // How long it takes is the machine's affair; what hangs is found by the rehearsal itself.
    @Test(.timeLimit(.minutes(40)))
    func `each order is sent once and none is forgotten, wherever the execution-service is killed`() async throws {
        var rehearsal = OrderRehearsal(executables: Executable.folder.path, submits: Self.submits)
        rehearsal.say = { LogOutput.standardError.line($0) }
        let result = try await rehearsal.run()
        LogOutput.standardError.line("\(result.table)\nverdicts: \(result.verdicts)")
        #expect(result.violations == [])
        #expect(result.submits >= Self.submits)
        // Without these the rest would prove nothing.
        for point in KillPoint.all { #expect(result.hits[point, default: 0] > 0, "no kill at \(point)") }
        for fault in ["lostAcknowledgement", "slowHTTP", "reset", "refuse"] {
            #expect(result.faults[fault, default: 0] > 0, "the venue never did this: \(fault)")
        }
        #expect(result.states["filled", default: 0] > 0 && result.states["rejected", default: 0] > 0)
        // The limits were used up, and it was the signal-processor that held them.
        #expect(result.samples > 100 && result.largestExposure + result.largestExposure > result.limit)
        #expect(result.largestOfMarket + .dollar > result.limitOfMarket)
        #expect(result.verdicts["total_exposure", default: 0] > 0, "nothing was refused: \(result.verdicts)")
    }
}
