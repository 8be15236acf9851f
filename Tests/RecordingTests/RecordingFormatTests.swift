import Domain
import Testing

@testable import Recording

struct RecordingFormatTests {
    static let text = """
        linesman-recording\t1
        name\tsample
        attribution\tnobody, made for a test
        synthetic\tall of it
        game\t42\tnba\t2026-04-20T23:00:00.000000Z\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors
        start\t2026-04-20T23:03:19.000000Z
        market\tK-CLE\tkalshi\tK\thome\tlinear_cent\t1.0000\tToronto vs Cleveland Winner?
        market\tK-TOR\tkalshi\tK\taway\tlinear_cent\t-\tToronto vs Cleveland Winner?
        depth\t5\t40\t10
        facts\t8
        0\tstatus\tscheduled\t0\t0.0\t0\t0
        0\tquote\t0\t0.7900\t0.8000
        500000\tquote\t1\t-\t0.2100\t-\t55.50
        1000000\tstatus\tlive\t1\t720.0\t0\t0
        2000000\tplay\t42-1\t1\t703.5\t2\t0\t0.6710
        3000000\tplay\t42-2\t1\t-\t0\t0\t-
        4000000\tclosed\t0
        4000000\tsettled\t0

        """

    @Test func `what the reader accepts the writer writes byte for byte`() throws {
        let recording = try Recording(text: Self.text)
        #expect(recording.text == Self.text)
        #expect(recording.entries.count == 8)
        #expect(recording.moments.map(\.facts.count) == [2, 1, 1, 1, 1, 2])
        #expect(recording.hasScores)
        #expect(recording.game.home.abbreviation == "CLE")
        guard case .play(let play) = recording.entries[4].fact else { throw Unexpected() }
        #expect(play.score.clockSeconds == 703.5)
        #expect(play.homeProbability?.value == 0.671)
    }

    struct Unexpected: Error {}

    struct Fault: Sendable, CustomTestStringConvertible {
        let from: String
        let to: String
        let code: RecordingError.Code
        let line: Int
        let field: String
        var testDescription: String { "\(field) \(code.rawValue)" }
    }

    static let faults = [
        Fault(from: "recording\t1", to: "recording\t2", code: .version, line: 1, field: "version"),
        Fault(from: "linesman-recording", to: "recording", code: .structure, line: 1, field: "linesman-recording"),
        Fault(from: "name\tsample\n", to: "", code: .structure, line: 2, field: "name"),
        Fault(from: "attribution\tnobody, made for a test\n", to: "", code: .structure, line: 3, field: "attribution"),
        Fault(from: "\tnba\t", to: "\tchess\t", code: .malformed, line: 5, field: "game.sport"),
        Fault(from: "K-TOR\tkalshi", to: "K-TOR\tbazaar", code: .malformed, line: 8, field: "market"),
        Fault(from: "K-TOR\tkalshi", to: "K-CLE\tkalshi", code: .inconsistent, line: 8, field: "market"),
        Fault(from: "depth\t5", to: "depth\t0", code: .outOfRange, line: 9, field: "depth"),
        Fault(from: "facts\t8", to: "facts\t9", code: .structure, line: 18, field: "facts"),
        Fault(from: "0.7900\t0.8000", to: "0.7900\t1.0000", code: .outOfRange, line: 12, field: "ask"),
        Fault(from: "0.7900\t0.8000", to: "0.7900\t0.7900", code: .inconsistent, line: 12, field: "ask"),
        Fault(from: "0.7900\t0.8000", to: "0.7950\t0.8000", code: .outOfRange, line: 12, field: "bid"),
        Fault(from: "0.7900\t0.8000", to: "0.7900\t7.0000", code: .outOfRange, line: 12, field: "ask"),
        Fault(from: "0.7900\t0.8000", to: "0.79\t0.8000", code: .spelling, line: 12, field: "entry"),
        Fault(from: "0\tquote\t0", to: "0\tquote\t2", code: .malformed, line: 12, field: "market"),
        Fault(from: "55.50", to: "0.00", code: .inconsistent, line: 13, field: "ask size"),
        Fault(from: "1000000\tstatus", to: "400000\tstatus", code: .order, line: 14, field: "time"),
        Fault(from: "1000000\tstatus", to: "-1\tstatus", code: .outOfRange, line: 14, field: "time"),
        Fault(from: "1000000\tstatus", to: "soon\tstatus", code: .malformed, line: 14, field: "time"),
        Fault(from: "status\tlive", to: "status\tasleep", code: .malformed, line: 14, field: "status"),
        Fault(from: "status\tlive", to: "status\tfinal", code: .inconsistent, line: 15, field: "play"),
        Fault(from: "703.5\t2", to: "703.5\t2000", code: .outOfRange, line: 15, field: "homeScore"),
        Fault(from: "0.6710", to: "1.6710", code: .outOfRange, line: 15, field: "probability"),
        Fault(from: "4000000\tclosed\t0\n", to: "", code: .structure, line: 17, field: "facts"),
        Fault(from: "4000000\tsettled\t0", to: "4000000\tsettled\t1", code: .inconsistent, line: 18, field: "settled"),
        Fault(from: "4000000\tsettled\t0", to: "4000000\tpaid\t0", code: .malformed, line: 18, field: "kind"),
        Fault(from: "settled\t0\n", to: "settled\t0", code: .structure, line: 18, field: "file"),
    ]

    @Test(arguments: faults)
    func `a fault is refused with its line and field`(fault: Fault) throws {
        #expect(Self.text.contains(fault.from))
        let text = Self.text.replacing(fault.from, with: fault.to, maxReplacements: 1)
        let error = #expect(throws: RecordingError.self) { try Recording(text: text) }
        #expect(error?.code == fault.code)
        #expect(error?.line == fault.line)
        #expect(error?.field == fault.field)
    }

    @Test func `a quote becomes a book by the depth rule`() throws {
        let recording = try Recording(text: Self.text)
        guard case .quote(let quote) = recording.entries[1].fact else { throw Unexpected() }
        let book = recording.header.book(for: quote)
        #expect(book.bestBid(.yes)?.price == .cents(79))
        #expect(book.bestAsk(.yes)?.price == .cents(80))
        #expect(book.yes.map(\.price) == [.cents(75), .cents(76), .cents(77), .cents(78), .cents(79)])
        #expect(book.bestBid(.yes)?.quantity == .contracts(40 + 10 * (79 % 7)))
        #expect(book.yes.first?.quantity == .contracts(200 + 10 * (75 % 7)))
        guard case .quote(let sized) = recording.entries[2].fact else { throw Unexpected() }
        let other = recording.header.book(for: sized)
        #expect(other.yes.isEmpty)
        #expect(other.bestAsk(.yes)?.quantity == (try Quantity(contracts: "55.50")))
    }
}
