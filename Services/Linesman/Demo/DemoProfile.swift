/// The rules that the demo trades under: the defaults but for what is printed here.
///
/// Shipped as a settings file, so that every process reads it as an operator's own file would be read.
enum DemoProfile {
    static let name = "demo"

    static let settings: [(key: String, value: String, why: String)] = [
        ("MIN_EDGE_PCT", "4", "one quiet game has few edges of 15 points"),
        ("MAX_POSITION_PCT", "1", "one order takes 10 dollars of the game's 50, so that a game shows several"),
        ("MAX_ENTRIES_PER_SIDE", "5", "for the same reason"),
        ("EXITS_ENABLED", "false", "so that a replay trades the same at every speed: exits follow prices as they come"),
        ("INITIAL_BANKROLL", "1000", "dollars of paper money"),
        ("PAPER_TRADING", "true", "orders go to the simulator only"),
    ]

    static func toml(extra: [(String, String)]) -> String {
        var lines = ["# Written by `linesman demo`."]
        for setting in settings { lines.append("\(setting.key) = \(literal(setting.value))  # \(setting.why)") }
        for (key, value) in extra { lines.append("\(key) = \(literal(value))") }
        return lines.joined(separator: "\n") + "\n"
    }

    static func literal(_ value: String) -> String {
        if value == "true" || value == "false" || Double(value) != nil { return value }
        let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return "\"\(escaped)\""
    }
}
