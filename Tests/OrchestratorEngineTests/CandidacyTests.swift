import OrchestratorEngine
import Resilience
import Testing

/// Who cannot hear, and the leadership.
@Suite struct CandidacyTests {
    private func at(_ seconds: Double) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    /// One that heard until 10 s.
    private func deafened() -> Candidacy {
        var candidacy = Candidacy(life: .seconds(3))
        candidacy.note(deafSince: nil, at: at(9))
        candidacy.note(deafSince: at(10), at: at(10.7))
        return candidacy
    }

    @Test func `who hears takes a free place at once and offers none`() {
        var candidacy = Candidacy(life: .seconds(3))
        candidacy.note(deafSince: nil, at: at(1))
        #expect(candidacy.patience(at: at(1)) == .zero && candidacy.nextOffer == nil)
        let offers = candidacy.offers(at: at(100))
        #expect(!offers)
    }

    @Test func `a deaf leader offers its place after 2 s, however late it looked, and again after each two lives`() {
        var candidacy = deafened()
        #expect(candidacy.nextOffer == at(12))
        let offers = stride(from: 11.0, through: 30, by: 0.5).filter {
            candidacy.note(deafSince: at(10), at: at($0))
            return candidacy.offers(at: at($0))
        }
        #expect(offers == [12, 18, 24, 30])
    }

    @Test func `who is deaf leaves a free place to the others for longer than it is offered`() {
        let candidacy = deafened()
        #expect(candidacy.patience(at: at(10.7)) == Candidacy.reserve)
        #expect(Candidacy.reserve > Candidacy.offer)
    }

    @Test func `a leader that hears again keeps its place, and counts anew when it is deaf again`() {
        var candidacy = deafened()
        candidacy.note(deafSince: nil, at: at(11.5))
        let whileHearing = candidacy.offers(at: at(17))
        candidacy.note(deafSince: at(20), at: at(20))
        let (early, late) = (candidacy.offers(at: at(21.9)), candidacy.offers(at: at(22)))
        #expect(!whileHearing && !early && late)
    }

    // Who heard nothing for less than a leader waits may have been deaf together with it.
    @Test func `who hears again first does not take the place from who is about to`() {
        #expect(Candidacy.brief < Candidacy.hesitation)
        for end in [11.0, 40] {
            var candidacy = deafened()
            candidacy.note(deafSince: nil, at: at(end))
            #expect(candidacy.patience(at: at(end + 5.9)) == Candidacy.reserve)
            #expect(candidacy.patience(at: at(end + 6)) == .zero)
        }
    }

    @Test func `who hears a leader again needs no patience, and who is deaf hears none`() {
        var candidacy = deafened()
        candidacy.leaderIsHeard()
        #expect(candidacy.patience(at: at(12)) == Candidacy.reserve)
        candidacy.note(deafSince: nil, at: at(15))
        #expect(candidacy.patience(at: at(15)) == Candidacy.reserve)
        candidacy.leaderIsHeard()
        #expect(candidacy.patience(at: at(15)) == .zero)
    }

    @Test func `after a moment of deafness it is as before`() {
        var candidacy = deafened()
        candidacy.note(deafSince: nil, at: at(10.9))
        #expect(candidacy.patience(at: at(10.9)) == .zero)
    }
}
