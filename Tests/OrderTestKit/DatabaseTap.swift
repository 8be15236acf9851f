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
    }

    private enum News { case sent, unknown, answer, found, absent }

    /// What a statement does, as far as it matters here.
    private enum Kind {
        case begin, commit, insertOrder, changeOrder, fill, position, cash, reservation, outbox, other

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
    /// The statement that is being put together, up to and without its Execute.
    private var open: Passage?

    init(_ unknown: UnknownOrders) { self.unknown = unknown }

    mutating func passages(in bytes: ByteBuffer) -> [Passage] {
        rest.writeImmutableBuffer(bytes)
        var passages: [Passage] = []
        while let (kind, message) = nextMessage() {
            switch kind {
            case UInt8(ascii: "P"): prepare(message)
            case UInt8(ascii: "B"):
                open = Passage(bytes: message, write: write(message))
                continue
            case UInt8(ascii: "D") where open != nil:
                open?.bytes.writeImmutableBuffer(message)
                continue
            case UInt8(ascii: "E"):
                var whole = open ?? Passage(bytes: ByteBuffer())
                open = nil
                whole.bytes.writeImmutableBuffer(message)
                passages.append(whole)
                continue
            case UInt8(ascii: "S"):
                // The Sync belongs to the statement before it: with it the statement counts.
                if let last = passages.indices.last {
                    passages[last].bytes.writeImmutableBuffer(message)
                    continue
                }
            default: break
            }
            passages.append(Passage(bytes: message))
        }
        return passages
    }

    /// The next whole message with its kind; 0 for what begins a session.
    private mutating func nextMessage() -> (UInt8, ByteBuffer)? {
        let start = rest.readerIndex
        let offset = isStarted ? 1 : 0
        guard let length: UInt32 = rest.getInteger(at: start + offset),
            let message = rest.readSlice(length: Int(length) + offset)
        else {
            rest.discardReadBytes()
            return nil
        }
        if isStarted { return (message.getInteger(at: message.readerIndex) ?? 0, message) }
        let code: UInt32? = message.getInteger(at: message.readerIndex + 4)
        // Requests for encryption come before the start, and are answered by a single letter.
        isStarted = code == 196_608
        return (0, message)
    }

    private mutating func prepare(_ message: ByteBuffer) {
        var message = message
        message.moveReaderIndex(forwardBy: 5)
        guard let name = message.readNullTerminatedString(), let text = message.readNullTerminatedString() else {
            return
        }
        statements[name] = Kind(text)
    }

    // MARK: What is written

    private mutating func write(_ bind: ByteBuffer) -> Write? {
        var bind = bind
        bind.moveReaderIndex(forwardBy: 5)
        guard bind.readNullTerminatedString() != nil, let name = bind.readNullTerminatedString(),
            let kind = statements[name]
        else { return nil }
        switch kind {
        case .begin: transaction = Transaction()
        case .commit: return commit()
        case .insertOrder:
            transaction.hasOrder = true
            return .claimOrder
        case .changeOrder: return order(Self.values(&bind))
        case .fill: return isAnswer ? .answerFill : nil
        case .position: return isAnswer ? .answerPosition : nil
        case .cash: return isAnswer ? .answerCash : nil
        case .reservation: return isAnswer ? .answerReservation : nil
        case .outbox: return isAnswer ? .answerOutbox : nil
        case .other: break
        }
        return nil
    }

    private var isAnswer: Bool { transaction.news == .answer }

    private mutating func commit() -> Write? {
        defer { transaction = Transaction() }
        if transaction.hasOrder { return .claimCommit }
        return switch transaction.news {
        case .sent?: .markCommit
        case .unknown?: .unknownCommit
        case .answer?: .answerCommit
        case .found?: .foundCommit
        case .absent?: .absentCommit
        case nil: nil
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

    /// The values of a Bind as text; what is no text is left as it looks.
    private static func values(_ bind: inout ByteBuffer) -> [String] {
        guard let formats: Int16 = bind.readInteger() else { return [] }
        bind.moveReaderIndex(forwardBy: Int(formats) * 2)
        guard let count: Int16 = bind.readInteger() else { return [] }
        return (0..<Int(count)).map { _ in
            guard let length: Int32 = bind.readInteger(), length >= 0 else { return "" }
            return bind.readString(length: Int(length)) ?? ""
        }
    }
}
