/// One thing wrong with the settings, with all that is needed to mend it.
public struct SettingsProblem: Hashable, Sendable, CustomStringConvertible {
    /// The key, or several separated by a comma; empty when the file as a whole is meant.
    public let key: String
    /// The bad value; `<redacted>` for a secret, nil when there is none.
    public let value: String?
    /// The file it came from; nil for the environment.
    public let file: String?
    public let line: Int?
    /// What is wrong, and what would be valid.
    public let message: String

    public init(key: String, value: String?, file: String?, line: Int?, message: String) {
        self.key = key
        self.value = value
        self.file = file
        self.line = line
        self.message = message
    }

    /// One line: `linesman.toml:12: REDIS_PORT = "99999": must be a whole number from 1 to 65535`.
    public var description: String {
        let place = file.map { file in line.map { "\(file):\($0)" } ?? file } ?? "environment"
        let shown = value.map { " = \(JSONText.quoted($0))" } ?? ""
        return key.isEmpty ? "\(place): \(message)" : "\(place): \(key)\(shown): \(message)"
    }
}

/// Everything that is wrong with the settings, at once.
public struct SettingsError: Error, Hashable, Sendable, CustomStringConvertible {
    public let problems: [SettingsProblem]

    public init(problems: [SettingsProblem]) {
        self.problems = problems
    }

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// One key as the code declares it, with the value in effect: for `linesman config` and the generated documentation.
public struct SettingDeclaration: Hashable, Sendable {
    public enum Source: Hashable, Sendable, CustomStringConvertible {
        case environment
        case file(String, line: Int?)
        case standard

        public var description: String {
            switch self {
            case .environment: "environment"
            case .file(let path, let line): line.map { "\(path):\($0)" } ?? path
            case .standard: "default"
            }
        }
    }

    public let key: String
    /// whole number, number, flag, text, secret, milliseconds, seconds, choice.
    public let kind: String
    /// The default as it would be written; nil when there is none.
    public let standard: String?
    /// What is valid, in words; nil when everything is.
    public let range: String?
    public let help: String
    /// The value in effect; `<redacted>` for a secret that is set, nil when not set.
    public let value: String?
    public let source: Source
    public let isSecret: Bool
}
