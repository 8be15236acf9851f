import Foundation

/// A message as Slack's incoming webhooks take it: Block Kit with a text fallback.
///
/// Slack refuses a message of more than 50 blocks, a section of more than 3,000 characters and a header of more than
/// 150 (PITFALLS 6).
struct SlackBody: Encodable {
    struct Text: Encodable {
        let type: String
        let text: String

        static func plain(_ text: String) -> Text { Text(type: "plain_text", text: text) }
        static func markdown(_ text: String) -> Text { Text(type: "mrkdwn", text: text) }
    }

    struct Block: Encodable {
        let type: String
        var text: Text?
        var elements: [Text]?

        static func header(_ text: String) -> Block {
            Block(type: "header", text: .plain(AlertText.truncated(text, to: headerLimit)))
        }
        static func section(_ text: String) -> Block { Block(type: "section", text: .markdown(text)) }
        static func context(_ text: String) -> Block {
            Block(type: "context", elements: [.markdown(AlertText.truncated(text, to: sectionLimit))])
        }
    }

    static let sectionLimit = 3_000
    static let headerLimit = 150
    static let blockLimit = 50

    let text: String
    let blocks: [Block]?

    init(_ message: AlertMessage) {
        let (title, lines, footer) = message.isGroup ? Self.group(message) : Self.single(message)
        let fallback = ([title] + lines.flatMap(\.self)).joined(separator: "\n")
        text = AlertText.truncated(Self.escaped(fallback), to: Self.sectionLimit)
        guard !message.isTextOnly else {
            blocks = nil
            return
        }
        var sections: [String] = []
        for paragraph in lines { sections += Self.packed(paragraph.map(Self.escaped)) }
        let room = Self.blockLimit - 3
        var blocks = [Block.header(title)] + sections.prefix(room).map(Block.section)
        if sections.count > room { blocks.append(.section("… and more: all of it is in the alert file.")) }
        blocks.append(.context(Self.escaped(footer)))
        self.blocks = blocks
    }

    /// Lines packed into as few sections as their bound allows; a line that is too long keeps head and tail.
    private static func packed(_ lines: [String]) -> [String] {
        var sections: [String] = []
        var current = ""
        var size = 0
        for line in lines where !line.isEmpty {
            let line = AlertText.truncated(line, to: sectionLimit)
            let length = line.utf16.count
            if !current.isEmpty, size + 1 + length > sectionLimit {
                sections.append(current)
                current = ""
                size = 0
            }
            current += current.isEmpty ? line : "\n" + line
            size += length + (size == 0 ? 0 : 1)
        }
        if !current.isEmpty { sections.append(current) }
        return sections
    }

    /// The three characters that mean something in Slack's text; a stranger's `<!channel>` must not call anybody.
    static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }

    // MARK: - Words

    typealias Words = (title: String, paragraphs: [[String]], footer: String)

    private static func single(_ message: AlertMessage) -> Words {
        let alert = message.alerts[0]
        let title =
            alert.state == .firing ? "\(mark(alert)) \(alert.kind)" : "✅ Recovered: \(alert.kind)"
        var first = [alert.summary]
        if let lasted = alert.lastedMilliseconds { first.append("It lasted \(AlertText.length(lasted)).") }
        if alert.suppressed > 0 { first.append("\(alert.suppressed) of the same were held back before.") }
        let facts = alert.detail.sorted { $0.key < $1.key }.map { "• \($0.key): \($0.value)" }
        return (
            title, [first, facts],
            "\(alert.source) · \(alert.fingerprint) · \(AlertText.time(alert.at)) · \(alert.id)"
        )
    }

    private static func group(_ message: AlertMessage) -> Words {
        let firing = message.alerts.filter { $0.state == .firing }
        let recovered = message.alerts.filter { $0.state == .recovered }
        var parts: [String] = []
        if !firing.isEmpty { parts.append("\(firing.count) \(firing.count == 1 ? "alert" : "alerts")") }
        if !recovered.isEmpty { parts.append("\(recovered.count) recovered") }
        var head: [String] = []
        let held = message.alerts.reduce(0) { $0 + $1.suppressed }
        if held > 0 { head.append("\(held) more of the same were held back.") }
        if message.omitted > 0 {
            head.append("\(message.omitted) more had no room here: the alert file has them.")
        }
        let icon = firing.max { $0.severity < $1.severity }.map(mark) ?? "✅"
        let sources = Set(message.alerts.map(\.source)).sorted().prefix(10).joined(separator: ", ")
        return (
            "\(icon) \(parts.joined(separator: ", "))",
            [head, named(firing, "🚨"), named(recovered, "✅")], "\(sources) · \(message.id)"
        )
    }

    /// Every name, by kind with its count: the most numerous kind first, the latest summary of each.
    private static func named(_ alerts: [Alert], _ icon: String) -> [String] {
        let kinds = Dictionary(grouping: alerts, by: \.kind).sorted {
            ($1.value.count, $0.key) < ($0.value.count, $1.key)
        }
        return kinds.flatMap { kind, alerts in
            let latest = AlertText.truncated(alerts[alerts.count - 1].summary, to: 300)
            let title = "\(icon) *\(kind)* × \(alerts.count): \(latest)"
            let names = alerts.map { alert in
                let lasted = alert.lastedMilliseconds.map { " (\(AlertText.length($0)))" } ?? ""
                return AlertText.truncated(alert.fingerprint, to: 100) + lasted
            }
            return [title] + AlertText.wrapped(names, to: 1_000)
        }
    }

    private static func mark(_ alert: Alert) -> String {
        switch alert.severity {
        case .critical: "🚨"
        case .warning: "⚠️"
        case .info: "ℹ️"
        }
    }
}

extension AlertText {
    /// Names joined by commas into lines of about `limit` characters.
    static func wrapped(_ names: [String], to limit: Int) -> [String] {
        var lines: [String] = []
        var current = ""
        for name in names {
            if !current.isEmpty, current.utf16.count + name.utf16.count > limit {
                lines.append(current)
                current = ""
            }
            current += current.isEmpty ? name : ", " + name
        }
        return current.isEmpty ? lines : lines + [current]
    }

    /// For people: `850 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`.
    static func length(_ milliseconds: Int64) -> String {
        switch milliseconds {
        case ..<1_000: "\(milliseconds) ms"
        case ..<60_000: "\(Double(milliseconds / 100) / 10) s"
        case ..<3_600_000: "\(milliseconds / 60_000) min \(milliseconds / 1_000 % 60) s"
        default: "\(milliseconds / 3_600_000) h \(milliseconds / 60_000 % 60) min"
        }
    }
}
