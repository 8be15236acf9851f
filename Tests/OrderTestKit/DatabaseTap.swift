import Domain
import NIOCore

/// Takes the session of a PostgreSQL client apart and knows the writes of an order's life by their statements.
///
/// The extended protocol only: a statement is its Bind, Describe and Execute, and what prepares it comes before it. The
/// transaction that is open says what a COMMIT stands for.
struct DatabaseTap: Tap {
    /// What an open transaction has written so far.
    private struct Transaction {
        var hasOrder = false
        var news: News?
        /// What its commit is when it is about a plan.
        var plan: Write?
    }

    private enum News { case sent, unknown, answer, found, absent }

    /// What a statement does, as far as it matters here.
    private enum Kind {
        case begin, commit, insertOrder, changeOrder, fill, position, cash, reservation, outbox, takePlan, endPlan,
            other

        init(_ text: String) {
            let words = text.split(separator: " ", maxSplits: 3).prefix(3).joined(separator: " ")
            self =
                switch words {
                case _ where words.hasPrefix("BEGIN"): .begin
                case "COMMIT": .commit
                case "INSERT INTO orders": .insertOrder
                case "UPDATE orders SET": .changeOrder
                case "INSERT INTO fills": .fill
                case "INSERT INTO positions": .position
                case "UPDATE bankroll SET": .cash
                case "UPDATE reservations SET": .reservation
                case "INSERT INTO outbox": .outbox
                case "UPDATE plans SET": text.contains("SET state = 'finished'") ? .endPlan : .takePlan
                default: .other
                }
        }
    }

    private var rest = ByteBuffer()
    private var isStarted = false
    private var statements: [String: Kind] = [:]
    private var transaction = Transaction()
    /// Of orders that this session has marked.
    private let unknown: UnknownOrders
    init(_ unknown: UnknownOrders) { self.unknown = unknown }

    mutating func passages(in bytes: ByteBuffer) -> [Passage] {
        var whole = bytes
        if rest.readableBytes > 0 {
            rest.writeImmutableBuffer(bytes)
            whole = rest
        }
        let (writes, end) = whole.withUnsafeReadableBytes { walk(Message(bytes: $0, offset: 0)) }
        var passages: [Passage] = []
        var passed = 0
        func pass(to offset: Int, _ write: Write?) {
            guard let part = whole.readSlice(length: offset - passed), part.readableBytes > 0 else { return }
            passages.append(Passage(bytes: part, write: write))
            passed = offset
        }
        for write in writes {
            pass(to: write.range.lowerBound, nil)
            pass(to: write.range.upperBound, write.write)
        }
        pass(to: end, nil)
        rest = whole
        return passages
    }

    /// The writes among whole messages, and where the last whole statement ends.
    ///
    /// Bytes are looked at where they lie: this is most of what a rehearsal does.
    private mutating func walk(_ first: Message) -> (writes: [(write: Write, range: Range<Int>)], end: Int) {
        var writes: [(write: Write, range: Range<Int>)] = []
        var message = first
        var bind: Message?
        while let end = message.end(isStarted: isStarted) {
            switch isStarted ? message.bytes[message.offset] : 0 {
            case 0:
                // Requests for encryption come before the start, and are answered by a single letter.
                isStarted = message.integer(at: 4) == 196_608
            case UInt8(ascii: "P"): prepare(message)
            case UInt8(ascii: "B"): bind = message
            case UInt8(ascii: "E"):
                if let start = bind, let write = write(start) { writes.append((write, start.offset..<end)) }
                bind = nil
            case UInt8(ascii: "S"):
                // The Sync belongs to the statement before it: with it the statement counts.
                if let last = writes.last, last.range.upperBound == message.offset {
                    writes[writes.count - 1].range = last.range.lowerBound..<end
                }
            default: break
            }
            message.offset = end
        }
        return (writes, bind?.offset ?? message.offset)
    }

    private mutating func prepare(_ message: Message) {
        var offset = 5
        let name = message.text(at: &offset)
        statements[name] = Kind(message.text(at: &offset))
    }

    // MARK: What is written

    private mutating func write(_ bind: Message) -> Write? {
        var offset = 5
        _ = bind.text(at: &offset)
        switch statements[bind.text(at: &offset)] ?? .other {
        case .begin: transaction = Transaction()
        case .commit: return commit()
        case .insertOrder:
            transaction.hasOrder = true
            transaction.plan = Self.legs[bind.values(at: offset).last ?? ""]
            return .claimOrder
        case .changeOrder: return order(bind.values(at: offset))
        case .fill: return isAnswer ? .answerFill : nil
        case .position: return isAnswer ? .answerPosition : nil
        case .cash: return isAnswer ? .answerCash : nil
        case .reservation: return isAnswer ? .answerReservation : nil
        case .outbox: return isAnswer ? .answerOutbox : nil
        case .takePlan: transaction.plan = .takePlan
        case .endPlan: transaction.plan = .endPlan
        case .other: break
        }
        return nil
    }

    /// By what an order of a plan is for, which is the last that is said of it.
    private static let legs: [String: Write] = [
        "enter": .enterCommit, "cover": .coverCommit, "unwind": .unwindCommit,
    ]

    private var isAnswer: Bool { transaction.news == .answer }

    private mutating func commit() -> Write? {
        defer { transaction = Transaction() }
        if let plan = transaction.plan { return plan }
        if transaction.hasOrder { return .claimCommit }
        return switch transaction.news {
        case .unknown?: .unknownCommit
        case .answer?: .answerCommit
        case .found?: .foundCommit
        case .absent?: .absentCommit
        case .sent?, nil: nil
        }
    }

    /// The row of an order, by its new state, and by whether its answer was missing before.
    private mutating func order(_ values: [String]) -> Write? {
        guard let state = values.lazy.compactMap({ OrderState(rawValue: $0) }).first, let id = values.last else {
            return nil
        }
        switch state {
        case .sent:
            transaction.news = .sent
            return .markOrder
        case .unknown:
            transaction.news = .unknown
            unknown.insert(id)
        case .stored, .expired: break
        case .rejected where values.contains("not_accepted"):
            transaction.news = .absent
        default:
            let wasUnknown = unknown.contains(id)
            transaction.news = wasUnknown ? .found : .answer
            return wasUnknown ? nil : .answerOrder
        }
        return nil
    }
}

/// A message of a PostgreSQL client where it lies among others; offsets within it count from its first byte.
private struct Message {
    let bytes: UnsafeRawBufferPointer
    var offset: Int

    /// Where the next one begins; nil while a part of this one is missing.
    func end(isStarted: Bool) -> Int? {
        let head = isStarted ? 1 : 0
        guard offset + head + 4 <= bytes.count else { return nil }
        let end = offset + head + integer(at: head)
        return end <= bytes.count ? end : nil
    }

    func integer(at place: Int) -> Int {
        Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + place, as: UInt32.self)))
    }

    /// The text up to the next NUL; `place` moves behind that.
    func text(at place: inout Int) -> String {
        let start = offset + place
        var end = start
        while end < bytes.count, bytes[end] != 0 { end += 1 }
        place = end + 1 - offset
        return String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), as: UTF8.self)
    }

    /// The values of a Bind as text; what is no text is left as it looks.
    func values(at start: Int) -> [String] {
        func short(_ place: Int) -> Int {
            Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + place, as: UInt16.self)))
        }
        var place = start + 2 + short(start) * 2
        let count = short(place)
        place += 2
        return (0..<count).map { _ in
            let length = integer(at: place)
            place += 4
            guard length != 0xFFFF_FFFF else { return "" }
            defer { place += length }
            let range = offset + place..<offset + place + length
            return String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
        }
    }
}
