import OrchestratorEngine
import Resilience
import Testing

/// Who cannot hear, and the leadership.
@Suite struct CandidacyTests {
    private func at(_ seconds: Double) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    /// One that heard until 10 s.
    private func deafened() -> Candidacy {
        var candidacy = Candidacy(life: .seconds(3))
        candidacy.note(hears: true, at: at(9))
        candidacy.note(hears: false, at: at(10))
        return candidacy
    }

    @Test func `who hears takes a free place at once and offers none`() {
        var candidacy = Candidacy(life: .seconds(3))
        candidacy.note(hears: true, at: at(1))
        #expect(candidacy.patience(at: at(1)) == .zero)
        let offers = candidacy.offers(at: at(100))
        #expect(!offers)
    }

    @Test func `a deaf leader offers its place after two lives, and again after two more`() {
        var candidacy = deafened()
        let offers = stride(from: 10.0, through: 30, by: 0.5).filter {
            candidacy.note(hears: false, at: at($0))
            return candidacy.offers(at: at($0))
        }
        #expect(offers == [16, 22, 28])
    }

    @Test func `who is deaf leaves a free place to the others for longer than it is offered`() {
        let candidacy = deafened()
        #expect(candidacy.patience(at: at(10)) == Candidacy.reserve)
        #expect(Candidacy.reserve > Candidacy.offer)
    }

    @Test func `a leader that hears again keeps its place, and counts anew when it is deaf again`() {
        var candidacy = deafened()
        candidacy.note(hears: true, at: at(15))
        let whileHearing = candidacy.offers(at: at(17))
        candidacy.note(hears: false, at: at(20))
        let (early, late) = (candidacy.offers(at: at(25)), candidacy.offers(at: at(26)))
        #expect(!whileHearing && !early && late)
    }

    @Test func `after a long silence who hears again first does not take the place from who is about to`() {
        var candidacy = deafened()
        candidacy.note(hears: true, at: at(40))
        #expect(candidacy.patience(at: at(45.9)) == Candidacy.reserve && candidacy.patience(at: at(46)) == .zero)
    }

    @Test func `after a short one it is as before`() {
        var candidacy = deafened()
        candidacy.note(hears: true, at: at(15.9))
        #expect(candidacy.patience(at: at(15.9)) == .zero)
    }
}
