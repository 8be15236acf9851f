import Domain

/// Other names of teams: codes that two feeds write differently, and what people call them.
enum TeamAliases {
    /// The code that stands for all spellings of one team's code within a sport (WIRE 3).
    static func canonical(_ code: String, _ sport: Sport) -> String {
        let upper = code.uppercased()
        return codes[sport]?[upper] ?? upper
    }

    /// Nicknames that no rule derives from the full name: nickname → a mascot word of the full name.
    static func nicknames(_ sport: Sport) -> [String: String] {
        names[sport] ?? [:]
    }

    private static let codes: [Sport: [String: String]] = [
        .nba: [
            "NY": "NYK", "GS": "GSW", "UTAH": "UTA", "UTH": "UTA", "NO": "NOP", "NOR": "NOP", "SA": "SAS",
            "WSH": "WAS", "PHO": "PHX", "BRK": "BKN", "CHO": "CHA",
        ],
        .nfl: [
            "JAC": "JAX", "LA": "LAR", "WSH": "WAS", "ARZ": "ARI", "BLT": "BAL", "CLV": "CLE", "HST": "HOU",
        ],
        .nhl: [
            "TB": "TBL", "NJ": "NJD", "SJ": "SJS", "LA": "LAK", "WAS": "WSH", "VEG": "VGK", "MON": "MTL",
            "CLB": "CBJ", "UTAH": "UTA", "NAS": "NSH", "CAL": "CGY", "WIN": "WPG",
        ],
        .mlb: [
            "CWS": "CHW", "WAS": "WSH", "SDP": "SD", "SFG": "SF", "TBR": "TB", "KCR": "KC", "AZ": "ARI",
            "OAK": "ATH", "WSN": "WSH",
        ],
    ]

    private static let names: [Sport: [String: String]] = [
        .nba: [
            "sixers": "76ers", "wolves": "timberwolves", "blazers": "blazers", "cavs": "cavaliers", "mavs": "mavericks",
            "grizz": "grizzlies", "pels": "pelicans", "dubs": "warriors",
        ],
        .nfl: [
            "niners": "49ers", "bucs": "buccaneers", "pats": "patriots", "fins": "dolphins", "jags": "jaguars",
        ],
        .nhl: [
            "leafs": "leafs", "habs": "canadiens", "caps": "capitals", "bolts": "lightning", "preds": "predators",
            "avs": "avalanche",
        ],
        .mlb: [
            "dbacks": "diamondbacks", "as": "athletics", "yanks": "yankees", "halos": "angels", "phils": "phillies",
        ],
    ]
}
