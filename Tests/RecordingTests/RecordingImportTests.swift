import Domain
import Foundation
import Testing

@testable import Recording

/// Files that tests read: what ships, and the raw recordings beside the repository.
enum Files {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static var shared: URL {
        if let path = ProcessInfo.processInfo.environment["LINESMAN_SHARED_DATA"] { return URL(filePath: path) }
        return root.deletingLastPathComponent().appending(path: "shared/data")
    }

    static func shipped(_ recording: RecordingImport) throws -> String {
        try String(contentsOf: root.appending(path: "Recordings/\(recording.fileName)"), encoding: .utf8)
    }

    static func hasSources(_ recording: RecordingImport) -> Bool {
        recording.sources.allSatisfy { FileManager.default.fileExists(atPath: shared.appending(path: $0.path).path) }
    }

    static func text(_ source: RecordingImport.Source) throws -> String {
        let url = shared.appending(path: source.path)
        guard source.isCompressed else { return try String(contentsOf: url, encoding: .utf8) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", url.path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}

struct RecordingImportTests {
    static let allPresent = RecordingImport.allCases.allSatisfy(Files.hasSources)

    @Test(
        .enabled(if: allPresent, "the raw recordings are not beside the repository"),
        arguments: RecordingImport.allCases)
    func `importing again gives the shipped file byte for byte`(recording: RecordingImport) throws {
        let imported = try recording.recording(from: recording.sources.map(Files.text)).text
        #expect(imported == (try Files.shipped(recording)))
    }

    @Test(arguments: RecordingImport.allCases)
    func `the shipped file is read and written unchanged`(recording: RecordingImport) throws {
        let text = try Files.shipped(recording)
        #expect(try Recording(text: text).text == text)
    }

    @Test func `Toronto at Cleveland keeps every play, the backward scores included`() throws {
        let recording = try Recording(text: Files.shipped(.torAtCle))
        let plays = recording.entries.compactMap { entry -> (VenueInstant, RecordedPlay)? in
            if case .play(let play) = entry.fact { (entry.at, play) } else { nil }
        }
        #expect(plays.count == 114)
        #expect(plays.first?.0 == (try VenueInstant(rfc3339: "2026-04-20T23:13:19Z")))
        #expect(plays.last?.1.score == RecordedScore(period: 4, clockTenths: 33, home: 115, away: 105))
        let backwards = zip(plays, plays.dropFirst()).filter { $1.1.score.away < $0.1.score.away }
        #expect(backwards.count == 1)
        #expect(backwards.first?.1.0 == (try VenueInstant(rfc3339: "2026-04-21T00:01:15Z")))
        let shared = recording.moments.filter { moment in
            moment.facts.count { if case .play = $0 { true } else { false } } == 2
        }
        #expect(shared.map(\.at) == [try VenueInstant(rfc3339: "2026-04-20T23:57:06Z")])
        #expect(recording.header.markets.map(\.settlement) == [.one, .zero])
    }

    @Test func `the away market of Toronto at Cleveland is the complement of the home market`() throws {
        let recording = try Recording(text: Files.shipped(.torAtCle))
        for moment in recording.moments {
            let quotes = moment.facts.compactMap { if case .quote(let quote) = $0 { quote } else { nil } }
            #expect(quotes.count == 0 || quotes.count == 2)
            guard quotes.count == 2 else { continue }
            #expect(quotes[0].bid?.complement == quotes[1].ask)
            #expect(quotes[0].ask?.complement == quotes[1].bid)
        }
    }

    @Test func `Los Angeles at Charlotte keeps every tick of both markets`() throws {
        let recording = try Recording(text: Files.shipped(.lacAtCha))
        let quotes = recording.entries.compactMap { if case .quote(let quote) = $0.fact { quote } else { nil } }
        #expect(quotes.count == 5_634 + 5_808)
        #expect(!recording.hasScores)
        #expect(recording.header.markets.map(\.settlement) == [.zero, .one])
        #expect(recording.start == (try VenueInstant(rfc3339: "2025-11-22T07:06:21Z")))
    }

    @Test func `a source with other columns is refused`() {
        let error = #expect(throws: RecordingError.self) {
            try RecordingImport.torAtCle.recording(from: ["time,score\n1,2\n"])
        }
        #expect(error?.code == .structure)
        #expect(error?.line == 1)
    }

    @Test func `a tick that is not a flat object is refused with its line`() {
        let tick =
            #"{"market_ticker": "KXNBAGAME-25NOV22LACCHA-CHA", "kalshi_ts": 1, "#
            + #""yes_bid_prob": 0.4, "yes_ask_prob": 0.5}"#
        let error = #expect(throws: RecordingError.self) {
            try RecordingImport.lacAtCha.recording(from: [tick + "\n{\"a\": [1]}\n", tick])
        }
        #expect(error?.line == 2)
    }
}
