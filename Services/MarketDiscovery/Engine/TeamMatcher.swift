import Domain

/// How a text came to mean a team, and how sure that is (DOMAIN 2.9).
public struct TeamMatch: Hashable, Sendable {
    public enum Method: String, Hashable, Sendable, CaseIterable {
        case none
        case exact
        case alias
        /// The venue's way of telling two teams of one city apart: `Los Angeles L`.
        case initial
        case mascot
        case place
        case overlap
        case fuzzy
    }

    public let method: Method
    /// 0 to 1; `TeamMatcher.enough` and above is a match.
    public let score: Double

    static let none = TeamMatch(method: .none, score: 0)
}

/// Says whether a text of a venue names a team of a score feed.
public enum TeamMatcher {
    /// A team counts as found from this score on.
    public static let enough = 0.7

    /// Mascots that several teams share; alone they name nobody.
    private static let sharedMascots: Set<String> = [
        "tigers", "wildcats", "bulldogs", "eagles", "cardinals", "panthers",
    ]
    /// Words that make another school of a place.
    private static let qualifiers: Set<String> = [
        "state", "tech", "a", "am", "southern", "northern", "eastern", "western", "central", "international", "oh",
        "fl",
    ]
    /// Words that name no team.
    private static let generic: Set<String> = [
        "the", "team", "game", "winner", "win", "vs", "at", "and", "of", "fc", "sc", "city", "state", "university",
        "home", "away",
    ]

    public static func match(_ text: String, _ team: Team, _ sport: Sport) -> TeamMatch {
        let said = words(text)
        let name = words(team.name)
        guard said.contains(where: { !generic.contains($0) }), let mascot = name.last else { return .none }
        if said == name || contains(said, name) { return TeamMatch(method: .exact, score: 1) }
        if let match = alias(said, name, mascot, team, sport) { return match }
        if let match = initial(said, name) { return match }
        if said.contains(mascot), name.count > 1 {
            let another = name.dropLast().contains { said.contains($0) && !generic.contains($0) }
            if another || !sharedMascots.contains(mascot) { return TeamMatch(method: .mascot, score: 0.85) }
            return .none
        }
        return byWords(said, name)
    }

    /// The team's code, or a nickname.
    private static func alias(
        _ said: [String], _ name: [String], _ mascot: String, _ team: Team, _ sport: Sport
    ) -> TeamMatch? {
        let code = TeamAliases.canonical(team.abbreviation, sport)
        if said.count == 1, TeamAliases.canonical(said[0], sport) == code {
            return TeamMatch(method: .alias, score: 0.95)
        }
        for (nickname, meant) in TeamAliases.nicknames(sport).sorted(by: { $0.key < $1.key })
        where name.contains(meant) && said.contains(nickname) {
            return TeamMatch(method: .alias, score: said.count == 1 ? 0.95 : 0.9)
        }
        return nil
    }

    /// The place, then the first letter of the mascot, as in `Los Angeles L`.
    ///
    /// Another letter is another team.
    private static func initial(_ said: [String], _ name: [String]) -> TeamMatch? {
        guard said.count >= 2, let letter = said.last, letter.utf8.count == 1 else { return nil }
        let place = said.dropLast()
        guard place.count < name.count, Array(name.prefix(place.count)) == Array(place) else { return nil }
        return name[place.count].hasPrefix(letter) ? TeamMatch(method: .initial, score: 0.95) : TeamMatch.none
    }

    private static func byWords(_ said: [String], _ name: [String]) -> TeamMatch {
        // `Oklahoma City` for `Oklahoma City Thunder`: the whole text is how the name begins.
        if said.count < name.count, Array(name.prefix(said.count)) == said, !generic.isSuperset(of: said) {
            // `Portland` leaves `Trail Blazers`; `Michigan` leaves `State Spartans`, which is another school.
            if name.count - said.count <= 2, !qualifiers.contains(name[said.count]) {
                return TeamMatch(method: .place, score: 0.85)
            }
            return .none
        }
        let shared = said.filter { name.contains($0) && !generic.contains($0) && $0.utf8.count > 1 }
        if shared.count >= 2, Double(shared.count) >= 0.5 * Double(max(said.count, name.count)) {
            return TeamMatch(method: .overlap, score: 0.75)
        }
        if said.count == 1, said[0].utf8.count >= 6 {
            let best = name.filter { $0.utf8.count >= 6 }.map { JaroWinkler.similarity($0, said[0]) }.max() ?? 0
            if best > 0.95 { return TeamMatch(method: .fuzzy, score: 0.75) }
        }
        return .none
    }

    /// Whether `phrase` occurs in `text` as whole words in a row.
    private static func contains(_ text: [String], _ phrase: [String]) -> Bool {
        guard !phrase.isEmpty, text.count >= phrase.count else { return false }
        return (0...(text.count - phrase.count)).contains { Array(text[$0..<($0 + phrase.count)]) == phrase }
    }

    /// Lower-case words of letters and digits; apostrophes and full stops vanish (`A's`, `St.`), the rest separates.
    public static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        for character in text.lowercased() {
            if character.isLetter || character.isNumber {
                word.append(character)
            } else if character != "'" && character != "." && character != "’", !word.isEmpty {
                words.append(word)
                word = ""
            }
        }
        if !word.isEmpty { words.append(word) }
        // `Michigan St.` is a state, `St. Louis` is not.
        if let last = words.lastIndex(of: "st"), last > 0 { words[last] = "state" }
        return words
    }
}

/// The Jaro-Winkler similarity of two words: 0 nothing in common, 1 the same.
enum JaroWinkler {
    static func similarity(_ left: String, _ right: String) -> Double {
        let jaro = jaro(Array(left), Array(right))
        let common = zip(left, right).prefix(4).prefix { $0 == $1 }.count
        return jaro + Double(common) * 0.1 * (1 - jaro)
    }

    private static func jaro(_ left: [Character], _ right: [Character]) -> Double {
        if left.isEmpty || right.isEmpty { return left.isEmpty && right.isEmpty ? 1 : 0 }
        let window = max(0, max(left.count, right.count) / 2 - 1)
        var isTaken = Array(repeating: false, count: right.count)
        var matchedLeft: [Character] = []
        for (index, character) in left.enumerated() {
            let range = max(0, index - window)..<min(right.count, index + window + 1)
            guard !range.isEmpty, let hit = range.first(where: { !isTaken[$0] && right[$0] == character }) else {
                continue
            }
            isTaken[hit] = true
            matchedLeft.append(character)
        }
        let matchedRight = right.indices.filter { isTaken[$0] }.map { right[$0] }
        let matches = Double(matchedLeft.count)
        if matches == 0 { return 0 }
        let transpositions = Double(zip(matchedLeft, matchedRight).filter { $0 != $1 }.count) / 2
        return (matches / Double(left.count) + matches / Double(right.count) + (matches - transpositions) / matches) / 3
    }
}
