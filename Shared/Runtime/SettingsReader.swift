import Resilience

/// Reads settings from the environment and then from a file (the environment wins) and collects every problem.
///
/// Each read declares its key, so that what is documented is what is read. A key with an empty value in the environment
/// is not set. A read that finds a problem notes it and gives the default; `finish` throws all problems together.
public final class SettingsReader {
    private struct Found {
        let text: String
        let source: SettingDeclaration.Source
    }

    private let environment: [String: String]
    private let file: SettingsFile?
    private var problems: [SettingsProblem] = []
    private var refusedKeys: Set<String> = []
    private var declarations: [String: SettingDeclaration] = [:]

    public init(environment: [String: String], file: SettingsFile? = nil) {
        self.environment = environment
        self.file = file
    }

    /// Every key read so far, sorted.
    public var declared: [SettingDeclaration] { declarations.values.sorted { $0.key < $1.key } }

    public func integer(
        _ key: String, default standard: Int, in range: ClosedRange<Int>, _ help: String
    ) -> Int {
        let valid = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        return read(
            key, "whole number", standard, show: { "\($0)" }, valid: valid, help,
            parse: { text in Int(text).flatMap { range.contains($0) ? $0 : nil } })
    }

    public func number(
        _ key: String, default standard: Double, in range: ClosedRange<Double>, _ help: String
    ) -> Double {
        let valid = "a number from \(range.lowerBound) to \(range.upperBound)"
        return read(
            key, "number", standard, show: { "\($0)" }, valid: valid, help,
            parse: { text in Double(text).flatMap { range.contains($0) ? $0 : nil } })
    }

    /// Accepts true/false, yes/no, on/off and 1/0.
    public func flag(_ key: String, default standard: Bool, _ help: String) -> Bool {
        read(
            key, "flag", standard, show: { "\($0)" }, valid: "true or false", help,
            parse: { text in
                switch text.lowercased() {
                case "true", "yes", "on", "1": true
                case "false", "no", "off", "0": false
                default: nil
                }
            })
    }

    public func text(_ key: String, default standard: String, _ help: String) -> String {
        read(key, "text", standard, show: { $0 }, valid: nil, help, parse: { $0 })
    }

    /// Nil when not set or empty.
    public func optionalText(_ key: String, _ help: String) -> String? {
        read(key, "text", nil, show: { $0 }, valid: nil, help, parse: { .some($0.isEmpty ? nil : $0) })
    }

    /// Nil when not set or empty; the value is never shown.
    public func secret(_ key: String, _ help: String) -> Secret? {
        read(
            key, "secret", nil, show: { $0.map { _ in Secret.redacted } }, valid: nil, help, isSecret: true,
            parse: { .some($0.isEmpty ? nil : Secret($0)) })
    }

    /// A length given as whole milliseconds.
    public func milliseconds(
        _ key: String, default standard: Duration, in range: ClosedRange<Duration>, _ help: String
    ) -> Duration {
        let valid =
            "whole milliseconds from \(range.lowerBound.wholeMilliseconds) to \(range.upperBound.wholeMilliseconds)"
        return read(
            key, "milliseconds", standard, show: { "\($0.wholeMilliseconds)" }, valid: valid, help,
            parse: { text in
                Int64(text).map { Duration.milliseconds($0) }.flatMap { range.contains($0) ? $0 : nil }
            })
    }

    /// A length given in seconds; fractions are allowed.
    public func seconds(
        _ key: String, default standard: Duration, in range: ClosedRange<Duration>, _ help: String
    ) -> Duration {
        let valid = "seconds from \(Self.plain(range.lowerBound)) to \(Self.plain(range.upperBound))"
        return read(
            key, "seconds", standard, show: { Self.plain($0) }, valid: valid, help,
            parse: { text in
                guard let seconds = Double(text), seconds.isFinite, abs(seconds) < 1e9 else { return nil }
                let length = Duration.nanoseconds(Int64((seconds * 1e9).rounded()))
                return range.contains(length) ? length : nil
            })
    }

    public func choice<E: RawRepresentable & CaseIterable>(
        _ key: String, default standard: E, _ help: String
    ) -> E where E.RawValue == String {
        let names = E.allCases.map(\.rawValue).joined(separator: ", ")
        return read(
            key, "choice", standard, show: { $0.rawValue }, valid: "one of \(names)", help,
            parse: { E(rawValue: $0) })
    }

    /// A relation or a contradiction; not judged when one of its keys was refused by itself.
    public func require(_ holds: Bool, _ keys: [String], _ problem: String) {
        guard !holds, refusedKeys.isDisjoint(with: keys) else { return }
        let values = keys.compactMap { key in declarations[key].map { "\(key)=\($0.value ?? "")" } }
        var place: (file: String, line: Int?)?
        for key in keys {
            if case .file(let path, let line)? = declarations[key]?.source, place == nil { place = (path, line) }
        }
        problems.append(
            SettingsProblem(
                key: keys.joined(separator: ", "), value: values.joined(separator: " "), file: place?.file,
                line: place?.line, message: problem))
    }

    /// Throws everything that was wrong, unknown keys of the file included.
    ///
    /// - `known`: keys that belong to others who share the file.
    public func finish(known: Set<String> = []) throws(SettingsError) {
        var all = problems
        let valid = known.union(declarations.keys)
        for (key, entry) in file?.entries ?? [:] where !valid.contains(key) {
            let near = Self.nearest(to: key, among: valid).map { "; did you mean \($0)?" } ?? ""
            all.append(
                SettingsProblem(
                    key: key, value: nil, file: file?.path, line: entry.line, message: "is not a setting" + near))
        }
        guard !all.isEmpty else { return }
        throw SettingsError(
            problems: all.sorted {
                ($0.file ?? "", $0.line ?? 0, $0.key, $0.message) < ($1.file ?? "", $1.line ?? 0, $1.key, $1.message)
            })
    }

    /// What was wrong with the keys read so far; unknown keys are not judged.
    var problemsOfOwnKeys: SettingsError? { problems.isEmpty ? nil : SettingsError(problems: problems) }

    // MARK: - Reading

    private func read<Value>(
        _ key: String, _ kind: String, _ standard: Value, show: (Value) -> String?, valid: String?, _ help: String,
        isSecret: Bool = false, parse: (String) -> Value?
    ) -> Value {
        let found = find(key, kind: kind)
        var value = standard
        if let found {
            if let parsed = parse(found.text) {
                value = parsed
            } else {
                refuse(key, found, "must be \(valid ?? "different")", isSecret: isSecret)
            }
        }
        if declarations[key] == nil {
            declarations[key] = SettingDeclaration(
                key: key, kind: kind, standard: show(standard), range: valid, help: help, value: show(value),
                source: found?.source ?? .standard, isSecret: isSecret)
        }
        return value
    }

    private func find(_ key: String, kind: String) -> Found? {
        if let text = environment[key], !text.isEmpty { return Found(text: text, source: .environment) }
        guard let file, let entry = file.entries[key] else { return nil }
        let source = SettingDeclaration.Source.file(file.path, line: entry.line)
        guard let text = entry.text else {
            refuse(key, Found(text: "", source: source), "must be a \(kind), not a TOML \(entry.kind)", isSecret: true)
            return nil
        }
        return Found(text: text, source: source)
    }

    private func refuse(_ key: String, _ found: Found, _ message: String, isSecret: Bool) {
        guard refusedKeys.insert(key).inserted else { return }
        var place: (file: String?, line: Int?) = (nil, nil)
        if case .file(let path, let line) = found.source { place = (path, line) }
        let shown = found.text.isEmpty ? nil : isSecret ? Secret.redacted : String(found.text.prefix(200))
        problems.append(
            SettingsProblem(key: key, value: shown, file: place.file, line: place.line, message: message))
    }

    private static func plain(_ duration: Duration) -> String {
        let seconds = duration.inSeconds
        return Int64(exactly: seconds).map { "\($0)" } ?? "\(seconds)"
    }

    /// The known key with the fewest edits, if that is few enough to be a slip of the pen.
    static func nearest(to key: String, among known: Set<String>) -> String? {
        let scored = known.map { (distance: distance(key.uppercased(), $0), key: $0) }
        guard let best = scored.min(by: { $0 < $1 }), best.distance <= max(2, key.count / 4) else { return nil }
        return best.key
    }

    private static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        var row = Array(0...right.count)
        for (i, byte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let substitution = diagonal + (byte == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substitution, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[right.count]
    }
}
