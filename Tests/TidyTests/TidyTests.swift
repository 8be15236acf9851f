import Foundation
import Testing

/// Style as a test: what a reviewer should not have to say twice (STYLE, habit 4).
@Suite struct TidyTests {
    struct Source {
        let path: String
        let lines: [String]
        var isTest: Bool { path.hasPrefix("Tests/") }
        var isPure: Bool {
            ["Shared/Domain/", "Shared/Resilience/", "Shared/Matching/", "Shared/Recording/"].contains {
                path.hasPrefix($0)
            }
                || (path.hasPrefix("Services/") && path.contains("/Engine/"))
        }
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let sources: [Source] = {
        var found: [Source] = []
        for folder in ["Services", "Shared", "Tests", "Benchmarks"] {
            guard let files = FileManager.default.enumerator(atPath: root.appending(path: folder).path) else {
                continue
            }
            for case let file as String in files where file.hasSuffix(".swift") && !file.contains(".build/") {
                let path = "\(folder)/\(file)"
                guard let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) else { continue }
                found.append(Source(path: path, lines: text.components(separatedBy: "\n")))
            }
        }
        return found.sorted { $0.path < $1.path }
    }()

    struct Ban {
        let word: String
        let instead: String
        let applies: @Sendable (Source) -> Bool
    }

    static let bans: [Ban] = [
        Ban(word: "Date()", instead: "the clock that was handed in") { !$0.isTest },
        Ban(word: "ContinuousClock.now", instead: "MachineClock") { !$0.isTest },
        Ban(word: "Task.sleep", instead: "the clock that was handed in; a test waits for a condition") { _ in true },
        Ban(word: "try!", instead: "a thrown error") { !$0.isTest },
        Ban(word: "fatalError(", instead: "precondition with the value in its message, or an error") { !$0.isTest },
        Ban(word: "DispatchQueue.main", instead: "an actor") { _ in true },
        Ban(word: "import Foundation", instead: "the standard library") { $0.isPure },
        Ban(word: "@unchecked Sendable", instead: "a lock, or the invariant in a comment") { _ in true },
        Ban(word: "NSLock", instead: "NIOLockedValueBox") { _ in true },
    ]

    /// A line may break a rule when it, or the line above it, says why.
    static func isArgued(_ source: Source, _ index: Int) -> Bool {
        let window = source.lines[max(0, index - 3)...index]
        return window.contains { $0.contains("// allow:") || $0.contains("// why:") || $0.contains("// invariant:") }
            || source.lines[max(0, index - 6)...index].contains { $0.contains("Invariant") }
    }

    @Test func `banned calls have a replacement`() {
        for source in Self.sources where !source.path.hasPrefix("Tests/TidyTests/") {
            for (index, line) in source.lines.enumerated() where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                for ban in Self.bans where line.contains(ban.word) && ban.applies(source) {
                    if Self.isArgued(source, index) { continue }
                    Issue.record("\(source.path):\(index + 1): \(ban.word): use \(ban.instead)")
                }
            }
        }
    }

    @Test func `random numbers come from a generator that was handed in`() {
        for source in Self.sources where !source.path.hasPrefix("Tests/TidyTests/") {
            for (index, line) in source.lines.enumerated()
            where (line.contains(".random(in:") || line.contains(".random()")) && !line.contains("using:") {
                if Self.isArgued(source, index) { continue }
                let next = index + 1 < source.lines.count ? source.lines[index + 1] : ""
                if next.contains("using:") { continue }
                Issue.record("\(source.path):\(index + 1): .random without using:")
            }
        }
    }

    @Test func `only the command line prints`() {
        for source in Self.sources
        where !source.isTest && !source.path.hasPrefix("Services/Linesman/")
            && !source.path.hasPrefix("Benchmarks/")
        {
            for (index, line) in source.lines.enumerated() {
                let code = line.drop { $0 == " " }
                if code.hasPrefix("print("), !Self.isArgued(source, index) {
                    Issue.record("\(source.path):\(index + 1): print: use the log")
                }
            }
        }
    }

    @Test func `files tell one story and lines fit`() {
        for source in Self.sources {
            let limit = source.isTest ? 700 : 500
            if source.lines.count > limit {
                Issue.record("\(source.path): \(source.lines.count) lines, limit \(limit)")
            }
            for (index, line) in source.lines.enumerated() where line.count > 120 && !line.contains("https://") {
                Issue.record("\(source.path):\(index + 1): \(line.count) columns")
            }
        }
    }

    @Test func `a main reads like a table of contents`() {
        let mains = Self.sources.filter { $0.path.hasPrefix("Services/") && $0.path.hasSuffix("/main.swift") }
        #expect(mains.count >= 6)
        for main in mains where main.lines.count >= 60 {
            Issue.record("\(main.path): \(main.lines.count) lines, under 60 wanted")
        }
    }

    @Test func `one concept has one word`() {
        let rejected = ["ghost", "mgr", "Mgr", "heartBeat", "failover(", "poison", "TODO", "FIXME"]
        for source in Self.sources where !source.path.hasPrefix("Tests/TidyTests/") {
            for (index, line) in source.lines.enumerated() {
                for word in rejected where line.contains(word) {
                    Issue.record("\(source.path):\(index + 1): \"\(word)\": see docs/GLOSSARY.md")
                }
            }
        }
    }

    @Test func `no path of a machine is written down`() throws {
        let pattern = ["/wo" + "rk/", "/fa" + "rm/", "/opt/sw" + "ift", "/tmp/" + "h/"]
        for source in Self.sources {
            for (index, line) in source.lines.enumerated() {
                for path in pattern where line.contains(path) { Issue.record("\(source.path):\(index + 1): \(path)") }
            }
        }
    }

    // CHECKLIST H38: the build refuses an import that a target does not list; this refuses a list that grew too long.
    @Test func `what decides imports nothing that does`() {
        let allowed: Set<String> = ["Domain", "Resilience", "HeapModule", "Glibc", "Darwin"]
        for source in Self.sources where source.isPure && !source.isTest {
            for (index, line) in source.lines.enumerated() where line.hasPrefix("import ") {
                let name = String(line.dropFirst(7))
                if !allowed.contains(name) { Issue.record("\(source.path):\(index + 1): imports \(name)") }
            }
        }
    }

    @Test func `what is simulated is the engines, and nothing that does`() {
        let allowed: Set<String> = ["Domain", "Resilience", "HeapModule", "Crypto"]
        for source in Self.sources where source.path.hasPrefix("Services/Simulation/") {
            for (index, line) in source.lines.enumerated() where line.hasPrefix("import ") {
                let name = String(line.dropFirst(7))
                if allowed.contains(name) || name.hasSuffix("Engine") { continue }
                Issue.record("\(source.path):\(index + 1): imports \(name)")
            }
        }
    }
}
