import Foundation
import Testing

/// Every known bug of another client has its test here, and docs/CONFORMANCE.md names them all.
@Suite struct CatalogueTests {
    static let rows = 1...53
    /// Rows that need a Redis cluster or Sentinel, which the client does not speak yet.
    static let waiting: [Int: String] = [
        10: "waits: Sentinel", 14: "waits: cluster", 32: "waits: cluster", 41: "waits: Sentinel",
        42: "waits: Sentinel", 43: "waits: Sentinel", 44: "waits: cluster",
    ]

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

    /// The names of the tests of this target that begin with a row, without it.
    private static func tests() throws -> [Int: [String]] {
        let name = /func `5\.(?<row>\d+) (?<name>[^`]+)`/
        var found: [Int: [String]] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) where file.hasSuffix(".swift") {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            for match in text.matches(of: name) {
                guard let row = Int(match.row) else { continue }
                found[row, default: []].append(String(match.name))
            }
        }
        return found
    }

    /// The last column of each row of the table.
    private static func table() throws -> [Int: String] {
        let root = folder.deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/CONFORMANCE.md"), encoding: .utf8)
        var found: [Int: String] = [:]
        for line in text.split(separator: "\n") where line.hasPrefix("|") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard let first = cells.first, let row = Int(first), let last = cells.last else { continue }
            #expect(found[row] == nil, "row \(row) stands there twice")
            found[row] = last
        }
        return found
    }

    @Test func `every row has a test or waits for a reason`() throws {
        let tests = try Self.tests()
        #expect(tests.keys.filter { !Self.rows.contains($0) }.isEmpty)
        for row in Self.rows {
            let isTested = tests[row] != nil
            let waits = Self.waiting[row] != nil
            #expect(isTested != waits, "row \(row)")
        }
    }

    @Test func `the table names every test of every row`() throws {
        let tests = try Self.tests()
        let table = try Self.table()
        #expect(Set(table.keys) == Set(Self.rows))
        for (row, cell) in table {
            let expected = Self.waiting[row].map { [$0] } ?? (tests[row] ?? []).map { "`\($0)`" }
            #expect(cell.split(separator: "; ").map(String.init).sorted() == expected.sorted(), "row \(row)")
        }
    }
}
