import Foundation

/// A decoded JSON object with its keys, for looking at what the simulator sent.
///
/// Invariant: the decoded values are immutable and never handed out to be changed.
struct JSONObject: @unchecked Sendable {
    let values: [String: Any]

    init(_ text: String) {
        values = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
    }

    init(values: [String: Any]) { self.values = values }

    var keys: Set<String> { Set(values.keys) }
    func text(_ key: String) -> String { values[key] as? String ?? "" }
    func integer(_ key: String) -> Int64? { (values[key] as? NSNumber)?.int64Value }
    func flag(_ key: String) -> Bool { values[key] as? Bool ?? false }
    func object(_ key: String) -> JSONObject { JSONObject(values: values[key] as? [String: Any] ?? [:]) }
    func list(_ key: String) -> [JSONObject] {
        (values[key] as? [[String: Any]] ?? []).map { JSONObject(values: $0) }
    }

    /// The keys of this object and those inside, with the form of each value: `msg.price_dollars` is `0.0000`.
    var shape: [String: String] {
        var shape: [String: String] = [:]
        for (key, value) in values {
            if let inner = value as? [String: Any] {
                for (name, form) in JSONObject(values: inner).shape { shape["\(key).\(name)"] = form }
            } else {
                shape[key] = Self.form(value)
            }
        }
        return shape
    }

    /// Digits become 0, so that `0.7900` and `0.0100` have one form.
    private static func form(_ value: Any) -> String {
        switch value {
        case let text as String:
            let digits = text.map { $0.isNumber ? "0" : $0 }
            guard text.contains(where: \.isNumber), !text.contains(where: { $0.isLetter && $0 != "T" && $0 != "Z" })
            else { return "text" }
            // Integer parts have any length, decimals do not.
            return String(digits).replacing(/^-?0+\./, with: "0.")
        case let list as [Any]: return "[" + (list.first.map(form) ?? "") + "]"
        case is NSNumber: return "number"
        default: return "null"
        }
    }
}
