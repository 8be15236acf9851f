import Resilience
import Runtime
import Testing

@testable import Hosting

/// The chain and its walk, without a database.
@Suite struct AuditVerifierTests {
    private func row(_ number: Int64) -> AuditRow {
        AuditRow(
            id: number * 3, writer: 700 + number / 2, at: "\(1_776_729_600_000_000 + number)", event: "order_filled",
            intent: number % 2 == 0 ? nil : "intent-\(number)", order: "order-\(number)", market: "m", game: "g",
            details: #"{"n": "\#(number)"}"#)
    }

    private func chain(_ count: Int64) -> [SealedRow] { AuditChain.chain((1...count).map(row), after: .origin) }

    private func head(_ rows: [SealedRow]) -> AuditHead {
        rows.last.map { AuditHead(position: $0.position, hash: $0.hash ?? .origin) } ?? .origin
    }

    private func findings(
        _ rows: [SealedRow], end: AuditHead?, kept: [AuditHead] = [], inserted: [Int64] = []
    ) -> [AuditFinding] {
        var verifier = AuditVerifier(kept: kept.map { KeptHead($0, keptAt: 0, source: "test") })
        for row in rows { verifier.take(row) }
        verifier.finish(end: end, inserted: inserted, halfSealed: [])
        return verifier.findings
    }

    @Test func `the canonical form is the one that is written down`() throws {
        let row = AuditRow(id: 7, writer: nil, at: "1", event: "é", order: "", details: "{}")
        let canonical = row.canonical(at: 2)
        func field(_ text: String?) -> [UInt8] {
            text.map { [0, 0, 0, UInt8($0.utf8.count)] + Array($0.utf8) } ?? [255, 255, 255, 255]
        }
        let fields = ["linesman-audit-1", "2", "7", nil, "1", "é", nil, "", nil, nil, "{}"]
        #expect(canonical == fields.flatMap(field))
        // By another implementation: Python's hashlib over those bytes and 32 zeros behind them.
        #expect(
            "\(row.hash(at: 2, after: .origin))" == "05e82962c520eb23f81648ee8edabeb15ab8bc87508388db9ac103ccc9df41d7")
    }

    @Test func `a hash is read from what it is written as, and from nothing else`() throws {
        let hash = row(1).hash(at: 1, after: .origin)
        #expect(AuditHash(hex: "\(hash)") == hash)
        for text in ["", "00", "\(hash)0", String(repeating: "g", count: 64), String(repeating: "é", count: 32)] {
            #expect(AuditHash(hex: text) == nil, "\(text)")
        }
    }

    @Test func `an untouched chain has no findings, with every head that it ever had`() {
        let rows = chain(50)
        let heads = rows.map { AuditHead(position: $0.position, hash: $0.hash ?? .origin) } + [.origin]
        #expect(findings(rows, end: head(rows), kept: heads).isEmpty)
        #expect(findings([], end: .origin).isEmpty)
    }

    @Test func `ids need not grow along the chain, transactions must`() {
        let rows = [(9, 700), (4, 701), (6, 701), (5, 702)].map { AuditRow(id: $0, writer: $1, at: "1", event: "e") }
        let sealed = AuditChain.chain(rows, after: .origin)
        #expect(findings(sealed, end: head(sealed)).isEmpty)
    }

    @Test func `any one change to any one column is one finding that names the row`() {
        let changes: [(String, (inout SealedRow) -> Void)] = [
            ("id", { $0.row.id += 1 }), ("writer", { $0.row.writer = nil }), ("at", { $0.row.at += "0" }),
            ("event", { $0.row.event = "order_rejected" }), ("intent", { $0.row.intent = "x" }),
            ("order", { $0.row.order = nil }), ("market", { $0.row.market = "" }), ("game", { $0.row.game = nil }),
            ("details", { $0.row.details = "{}" }), ("previous", { $0.previous = $0.hash }),
            ("previous to nil", { $0.previous = nil }),
        ]
        for (name, change) in changes {
            for place in [1, 5, 8] as [Int64] {
                var rows = chain(8)
                let end = head(rows)
                change(&rows[Int(place) - 1])
                let found = findings(rows, end: end)
                #expect(found.first?.kind == .edited && found.first?.position == place, "\(name) at \(place): \(found)")
                // A writer of nil also belongs elsewhere.
                #expect(found.count == 1 || name == "writer", "\(name) at \(place): \(found)")
            }
        }
    }

    @Test func `removed, moved, doubled and inserted rows are found where they are`() {
        let whole = chain(8)
        let end = head(whole)
        for place in 1...7 {
            var rows = whole
            rows.remove(at: place - 1)
            #expect(findings(rows, end: end).map(\.kind) == [.missing], "\(place)")
            #expect(findings(rows, end: end).map(\.position) == [Int64(place)])
        }
        let cut = Array(whole.prefix(5))
        #expect(findings(cut, end: end).map(\.kind) == [.missing])
        // The chain's end was changed with it: only a head that was kept elsewhere knows.
        #expect(findings(cut, end: head(cut)).isEmpty)
        #expect(findings(cut, end: head(cut), kept: [end]).map(\.kind) == [.headDiffers])
        #expect(findings(whole, end: nil).map(\.kind) == [.endDiffers])
        let wrong = AuditHead(position: 8, hash: whole[6].hash ?? .origin)
        #expect(findings(whole, end: wrong).map(\.kind) == [.endDiffers])
        #expect(findings(whole + [whole[7]], end: end).map(\.kind) == [.doubled])
        #expect(findings(whole, end: end, inserted: [4]).map(\.kind) == [.inserted])

        var swapped = whole
        (swapped[2].row, swapped[5].row) = (swapped[5].row, swapped[2].row)
        let kinds = Set(findings(swapped, end: end).map(\.kind))
        #expect(kinds == [.edited, .outOfOrder])

        // Sealed later, as the sealer would seal what somebody put in under an old transaction.
        let late = AuditRow(id: 100, writer: 701, at: "1", event: "x")
        let longer = whole + [SealedRow(late, after: end)]
        #expect(findings(longer, end: head(longer)).map(\.kind) == [.outOfOrder])
    }

    @Test func `a chain that was written anew is found by a head from before, and by nothing else`() {
        let whole = chain(8)
        var forged = (1...8).map { row(Int64($0)) }
        forged[2].details = #"{"n": "forged"}"#
        let anew = AuditChain.chain(forged, after: .origin)
        #expect(findings(anew, end: head(anew)).isEmpty)
        let kept = AuditHead(position: 6, hash: whole[5].hash ?? .origin)
        #expect(findings(anew, end: head(anew), kept: [kept]).map(\.kind) == [.headDiffers])
        // A head from before the change still fits.
        let early = AuditHead(position: 2, hash: whole[1].hash ?? .origin)
        #expect(findings(anew, end: head(anew), kept: [early]).isEmpty)
        // Rewritten from the third row on, while the rows before stayed: the link holds, the head does not.
        #expect(findings(Array(whole[..<2] + anew[2...]), end: head(anew), kept: [kept]).map(\.kind) == [.headDiffers])
        // Only the forged row was sealed anew: the next one does not follow it.
        var single = whole
        single[2] = anew[2]
        #expect(findings(single, end: head(whole)).map(\.kind) == [.brokenLink])
    }

    @Test func `no random change of a random chain goes unseen`() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<2_000 {
            var rows = chain(Int64.random(in: 2...20, using: &random))
            let end = head(rows)
            let index = Int.random(in: rows.indices, using: &random)
            let other = (index + Int.random(in: 1..<rows.count, using: &random)) % rows.count
            let kind = Int.random(in: 0..<6, using: &random)
            switch kind {
            case 0: rows[index].row.details += " "
            case 1: rows.remove(at: index)
            case 2: (rows[index].row, rows[other].row) = (rows[other].row, rows[index].row)
            case 3: (rows[index].hash, rows[other].hash) = (rows[other].hash, rows[index].hash)
            case 4: rows[index].row = rows[other].row
            default: rows.removeLast(rows.count - index)
            }
            #expect(!findings(rows, end: end).isEmpty, "change \(kind) at \(index) of \(rows.count)")
        }
    }

    @Test func `findings are bounded, their number is not`() {
        var verifier = AuditVerifier()
        for sealed in chain(500) {
            var sealed = sealed
            sealed.row.details = "{}"
            verifier.take(sealed)
        }
        #expect(verifier.findings.count == AuditVerifier.findingsLimit && verifier.findingsCount == 500)
    }
}
