import Foundation
import TOMLKit

/// A flat TOML file of settings, which knows the line of each key.
public struct SettingsFile: Sendable {
    struct Entry: Sendable {
        /// The value as the environment would spell it; nil for a kind that no setting has (table, array, date).
        let text: String?
        let kind: String
        let line: Int?
    }

    public let path: String
    let entries: [String: Entry]

    public static func load(path: String) throws(SettingsError) -> SettingsFile {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            let problem = SettingsProblem(
                key: "", value: nil, file: path, line: nil, message: "cannot be read as UTF-8 text")
            throw SettingsError(problems: [problem])
        }
        return try SettingsFile(path: path, text: text)
    }

    public init(path: String, text: String) throws(SettingsError) {
        self.path = path
        let table: TOMLTable
        do {
            table = try TOMLTable(string: text)
        } catch {
            let parse = error as? TOMLParseError
            let problem = SettingsProblem(
                key: "", value: nil, file: path, line: parse?.source.begin.line,
                message: "not valid TOML: \(parse?.description ?? "\(error)")")
            throw SettingsError(problems: [problem])
        }
        let lines = Self.lines(of: text)
        var entries: [String: Entry] = [:]
        for key in table.keys {
            guard let value = table[key] else { continue }
            let text: String?
            switch value.type {
            case .string: text = value.string
            case .int: text = value.int.map(String.init)
            case .double: text = value.double.map { "\($0)" }
            case .bool: text = value.bool.map(String.init)
            default: text = nil
            }
            entries[key] = Entry(text: text, kind: value.type.rawValue, line: lines[key])
        }
        self.entries = entries
    }

    /// The line of each top-level key, from 1.
    private static func lines(of text: String) -> [String: Int] {
        var lines: [String: Int] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let trimmed = line.trimmingCharacters(in: .whitespaces)
            let head = trimmed.hasPrefix("[") ? trimmed.dropFirst().prefix { $0 != "]" } : trimmed.prefix { $0 != "=" }
            let key = head.trimmingCharacters(in: CharacterSet(charactersIn: " \t\"'"))
            guard !key.isEmpty, !trimmed.hasPrefix("#"), lines[key] == nil else { continue }
            lines[key] = index + 1
        }
        return lines
    }
}
