import Domain
import Foundation
import MarketDiscoveryEngine

func team(_ name: String, _ abbreviation: String) throws -> Team { try Team(name: name, abbreviation: abbreviation) }

func game(
    _ sport: Sport, home: (String, String), away: (String, String), at time: String, id: GameID = "g1"
) throws -> Game {
    try Game(
        id: id, sport: sport, home: team(home.0, home.1), away: team(away.0, away.1),
        scheduledAt: VenueInstant(rfc3339: time))
}

/// The two markets of an event, as the venue lists them.
func event(_ ticker: String, _ sides: [(code: String, name: String)], title: String? = nil) -> [Candidate] {
    sides.map { side in
        Candidate(
            ticker: "\(ticker)-\(side.code)", eventTicker: ticker,
            title: title ?? sides.map(\.name).joined(separator: " vs ") + " Winner?", yesSubTitle: side.name,
            isOpen: true)
    }
}

/// The recordings beside the package; nil where there are none.
enum Recordings {
    static var teams: URL? {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let data =
            ProcessInfo.processInfo.environment["LINESMAN_SHARED_DATA"].map { URL(filePath: $0) }
            ?? root.appending(path: "../shared/data")
        let teams = data.appending(path: "teams")
        return FileManager.default.fileExists(atPath: teams.path) ? teams : nil
    }

    /// Rows by column name.
    ///
    /// The files hold no quoted commas.
    static func rows(_ file: String) throws -> [[String: String]] {
        guard let teams else { return [] }
        let lines = try String(contentsOf: teams.appending(path: file), encoding: .utf8)
            .split(whereSeparator: \.isNewline)
        guard let header = lines.first?.split(separator: ",", omittingEmptySubsequences: false) else { return [] }
        return lines.dropFirst().map { line in
            let fields = line.split(separator: ",", omittingEmptySubsequences: false)
            return Dictionary(uniqueKeysWithValues: zip(header.map(String.init), fields.map(String.init)))
        }
    }
}

/// The NBA by its feed's codes and names.
let nbaNames: [String: String] = [
    "ATL": "Atlanta Hawks", "BOS": "Boston Celtics", "BKN": "Brooklyn Nets", "CHA": "Charlotte Hornets",
    "CHI": "Chicago Bulls", "CLE": "Cleveland Cavaliers", "DAL": "Dallas Mavericks", "DEN": "Denver Nuggets",
    "DET": "Detroit Pistons", "GS": "Golden State Warriors", "HOU": "Houston Rockets", "IND": "Indiana Pacers",
    "LAC": "LA Clippers", "LAL": "Los Angeles Lakers", "MEM": "Memphis Grizzlies", "MIA": "Miami Heat",
    "MIL": "Milwaukee Bucks", "MIN": "Minnesota Timberwolves", "NO": "New Orleans Pelicans", "NY": "New York Knicks",
    "OKC": "Oklahoma City Thunder", "ORL": "Orlando Magic", "PHI": "Philadelphia 76ers", "PHX": "Phoenix Suns",
    "POR": "Portland Trail Blazers", "SA": "San Antonio Spurs", "SAC": "Sacramento Kings", "TOR": "Toronto Raptors",
    "UTAH": "Utah Jazz", "WSH": "Washington Wizards",
]
