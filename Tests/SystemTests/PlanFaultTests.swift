import Domain
import OrderTestKit
import Runtime
import Testing

/// Plans of two legs in real processes under everything that goes wrong at once (CHECKLIST N13, H1, H5).
@Suite struct PlanFaultTests {
    // How long it takes is the machine's affair; what hangs is found by the rehearsal itself.
    @Test(.timeLimit(.minutes(40)))
    func `both legs of every plan are even in the end, wherever the execution-service is killed`() async throws {
        var rehearsal = PlanRehearsal(executables: Executable.folder.path)
        rehearsal.say = { LogOutput.standardError.line($0) }
        let result = try await rehearsal.run()
        LogOutput.standardError.line(result.report)
        #expect(result.violations == [])
        // Without these the rest would prove nothing.
        for point in KillPoint.ofPlans { #expect(result.hits[point, default: 0] > 0, "no kill at \(point)") }
        for ending in ["complete", "partial", "flat"] { #expect(result.endings[ending, default: 0] > 0, "\(ending)") }
        for purpose in ["enter", "cover", "unwind"] { #expect(result.purposes[purpose, default: 0] > 0, "\(purpose)") }
        #expect(result.worst < .zero, "some leg was sold again")
    }
}
