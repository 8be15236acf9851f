import Domain
import Testing

@testable import MarketDiscoveryEngine

@Suite struct TeamMatcherTests {
    struct Case: Sendable {
        let text: String
        let name: String
        let code: String
        let sport: Sport
        let method: TeamMatch.Method
    }

    static let cases: [Case] = [
        Case(text: "Cleveland Cavaliers", name: "Cleveland Cavaliers", code: "CLE", sport: .nba, method: .exact),
        Case(text: "CLEVELAND  cavaliers!", name: "Cleveland Cavaliers", code: "CLE", sport: .nba, method: .exact),
        Case(text: "NYK", name: "New York Knicks", code: "NY", sport: .nba, method: .alias),
        Case(text: "JAC", name: "Jacksonville Jaguars", code: "JAX", sport: .nfl, method: .alias),
        Case(text: "Sixers", name: "Philadelphia 76ers", code: "PHI", sport: .nba, method: .alias),
        Case(text: "Los Angeles L", name: "Los Angeles Lakers", code: "LAL", sport: .nba, method: .initial),
        Case(text: "Los Angeles L", name: "Los Angeles Clippers", code: "LAC", sport: .nba, method: .none),
        Case(text: "New York K", name: "New York Knicks", code: "NY", sport: .nba, method: .initial),
        Case(text: "New York J", name: "New York Giants", code: "NYG", sport: .nfl, method: .none),
        Case(text: "Oklahoma City", name: "Oklahoma City Thunder", code: "OKC", sport: .nba, method: .place),
        Case(text: "Portland", name: "Portland Trail Blazers", code: "POR", sport: .nba, method: .place),
        Case(text: "Thunder", name: "Oklahoma City Thunder", code: "OKC", sport: .nba, method: .mascot),
        Case(text: "Under", name: "Oklahoma City Thunder", code: "OKC", sport: .nba, method: .none),
        Case(text: "Over", name: "Vancouver Canucks", code: "VAN", sport: .nhl, method: .none),
        // Shared mascots need another word.
        Case(text: "Tigers", name: "Detroit Tigers", code: "DET", sport: .mlb, method: .none),
        Case(text: "Auburn Tigers", name: "LSU Tigers", code: "LSU", sport: .ncaaf, method: .none),
        Case(text: "Kansas St. Wildcats", name: "Kansas State Wildcats", code: "KSU", sport: .ncaaf, method: .exact),
        // A place with another school in it.
        Case(text: "Michigan", name: "Michigan State Spartans", code: "MSU", sport: .ncaaf, method: .none),
        Case(text: "Michigan", name: "Michigan Wolverines", code: "MICH", sport: .ncaaf, method: .place),
        Case(text: "Texas", name: "Texas A&M Aggies", code: "TA&M", sport: .ncaaf, method: .none),
        Case(text: "Texas Tech", name: "Texas Longhorns", code: "TEX", sport: .ncaaf, method: .none),
        Case(text: "St. Louis", name: "St. Louis Blues", code: "STL", sport: .nhl, method: .place),
        Case(text: "Cavalliers", name: "Cleveland Cavaliers", code: "CLE", sport: .nba, method: .fuzzy),
        // Generic words and nothing at all.
        Case(text: "the home team", name: "Utah Jazz", code: "UTAH", sport: .nba, method: .none),
        Case(text: "", name: "Utah Jazz", code: "UTAH", sport: .nba, method: .none),
        Case(text: "--", name: "Utah Jazz", code: "UTAH", sport: .nba, method: .none),
    ]

    @Test(arguments: cases) func `a text names a team or does not`(_ example: Case) throws {
        let match = TeamMatcher.match(example.text, try team(example.name, example.code), example.sport)
        #expect(match.method == example.method, "\(example.text) for \(example.name): \(match)")
        #expect((match.score >= TeamMatcher.enough) == (example.method != .none))
    }

    @Test func `a name is found in any case and spacing, and never by another sport's codes`() throws {
        let kings = try team("Los Angeles Kings", "LA")
        #expect(TeamMatcher.match("LAK", kings, .nhl).method == .alias)
        #expect(TeamMatcher.match("LAR", kings, .nhl).method == .none)
        let rams = try team("Los Angeles Rams", "LAR")
        #expect(TeamMatcher.match("LA", rams, .nfl).method == .alias)
    }

    @Test func `similar words are alike and different ones are not`() {
        #expect(JaroWinkler.similarity("martha", "marhta") > 0.96)
        #expect(JaroWinkler.similarity("abcdef", "abcdef") == 1)
        #expect(JaroWinkler.similarity("abcdef", "uvwxyz") == 0)
        #expect(JaroWinkler.similarity("", "") == 1)
        #expect(JaroWinkler.similarity("rangers", "raptors") < 0.95)
    }
}
