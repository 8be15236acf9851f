import Domain
import Resilience

/// What happened, as far as market discovery can know.
public enum DiscoveryEvent: Sendable {
    case requested(Game, request: CommandID)
    /// The venue's answer: what it lists in the series.
    case found(series: String, [Candidate])
    case searchFailed(series: String)
}

/// What market discovery must do next.
public enum DiscoveryEffect: Hashable, Sendable {
    /// Ask the venue for the series' open markets; answer with `found` or `searchFailed`.
    case search(series: String)
    case answer(request: CommandID, Game, MatchResult)
}

/// Answers which markets belong to a game, asking the venue at most once per series while its list is fresh.
public struct MarketDiscoveryEngine: Sendable {
    /// How long a series' list may be used.
    public let cacheFor: Duration
    /// How long a list that lacks the game may say so.
    public let missFor: Duration
    /// Questions that may wait for the venue at once; more are answered `tooManyQuestions`.
    public let questionsKept: Int

    private struct Question: Sendable {
        let game: Game
        let request: CommandID
    }

    private var lists: [String: (candidates: [Candidate], at: MachineInstant)] = [:]
    private var questions: [String: [Question]] = [:]

    public private(set) var searches = 0
    public private(set) var cacheHits = 0
    public private(set) var matched = 0
    public private(set) var unmatched: [Unmatched: Int] = [:]

    public init(cacheFor: Duration = .seconds(60), missFor: Duration = .seconds(15), questionsKept: Int = 1_000) {
        self.cacheFor = cacheFor
        self.missFor = missFor
        self.questionsKept = questionsKept
    }

    public mutating func handle(_ event: DiscoveryEvent, at now: MachineInstant) -> [DiscoveryEffect] {
        var effects: [DiscoveryEffect] = []
        switch event {
        case .requested(let game, let request):
            ask(Question(game: game, request: request), at: now, into: &effects)
        case .found(let series, let candidates):
            // An empty list is not kept: the venue may be just about to list.
            lists[series] = candidates.isEmpty ? nil : (candidates, now)
            for question in questions.removeValue(forKey: series) ?? [] {
                answer(question, MarketMatcher.match(question.game, among: candidates), into: &effects)
            }
        case .searchFailed(let series):
            for question in questions.removeValue(forKey: series) ?? [] {
                answer(question, .unmatched(.searchFailed), into: &effects)
            }
        }
        return effects
    }

    private mutating func ask(_ question: Question, at now: MachineInstant, into effects: inout [DiscoveryEffect]) {
        guard let series = KalshiSeries.game(question.game.sport) else {
            return answer(question, .unmatched(.noSeries), into: &effects)
        }
        if let list = lists[series], now.since(list.at) < cacheFor {
            let result = MarketMatcher.match(question.game, among: list.candidates)
            // A game missing from an old list may have been listed since.
            if case .matched = result {
                cacheHits += 1
                return answer(question, result, into: &effects)
            }
            if now.since(list.at) < missFor { return answer(question, result, into: &effects) }
        }
        let waiting = questions.values.reduce(0) { $0 + $1.count }
        guard waiting < questionsKept else { return answer(question, .unmatched(.tooManyQuestions), into: &effects) }
        let isUnderWay = questions[series] != nil
        // A question asked again replaces itself: its newest id is the one that counts.
        questions[series, default: []].removeAll { $0.game.id == question.game.id }
        questions[series, default: []].append(question)
        if !isUnderWay {
            searches += 1
            effects.append(.search(series: series))
        }
    }

    private mutating func answer(_ question: Question, _ result: MatchResult, into effects: inout [DiscoveryEffect]) {
        switch result {
        case .matched: matched += 1
        case .unmatched(let reason): unmatched[reason, default: 0] += 1
        }
        effects.append(.answer(request: question.request, question.game, result))
    }
}
