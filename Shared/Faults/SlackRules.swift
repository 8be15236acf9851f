/// What Slack refuses, as far as it is known (PITFALLS 6).
public enum SlackRules {
    /// What Slack would answer with 400; nil for what it takes.
    public static func problem(of body: [String: Any]) -> String? {
        guard let text = body["text"] as? String, !text.isEmpty else { return "no_text" }
        guard text.utf16.count <= 40_000 else { return "msg_too_long" }
        guard let blocks = body["blocks"] else { return nil }
        guard let blocks = blocks as? [[String: Any]], !blocks.isEmpty else { return "invalid_blocks_format" }
        guard blocks.count <= 50 else { return "invalid_blocks" }
        for block in blocks {
            switch block["type"] as? String {
            case "header":
                guard let text = content(block["text"], "plain_text"), (1...150).contains(text.utf16.count) else {
                    return "invalid_blocks"
                }
            case "section":
                guard let text = content(block["text"], "mrkdwn"), (1...3_000).contains(text.utf16.count) else {
                    return "invalid_blocks"
                }
            case "context":
                guard let elements = block["elements"] as? [[String: Any]], (1...10).contains(elements.count) else {
                    return "invalid_blocks"
                }
                for element in elements {
                    guard let text = content(element, "mrkdwn"), (1...3_000).contains(text.utf16.count) else {
                        return "invalid_blocks"
                    }
                }
            default: return "invalid_blocks"
            }
        }
        return nil
    }

    private static func content(_ value: Any?, _ type: String) -> String? {
        guard let object = value as? [String: Any], object["type"] as? String == type else { return nil }
        return object["text"] as? String
    }

    /// Every text in the blocks.
    public static func texts(of body: [String: Any]) -> [String] {
        (body["blocks"] as? [[String: Any]] ?? []).flatMap { block in
            ([block["text"] as? [String: Any]] + (block["elements"] as? [[String: Any]] ?? []))
                .compactMap { $0?["text"] as? String }
        }
    }
}
