/// The statements that are prepared on one connection, least recently used first to go.
struct StatementCache {
    /// One statement with one list of parameter types.
    final class Prepared {
        let name: String
        /// For libpq, so that its name need not be copied for each use.
        let terminatedName: [CChar]
        let text: String
        let types: [UInt32]
        /// The pieces of the text, each before a value.
        private let pieces: [String]
        private let tail: String
        fileprivate var lastUse = 0
        /// Its place among all.
        fileprivate let place: Int
        /// The place of the one that was used after it last, which may be another one's by now.
        fileprivate var follower = 0

        fileprivate init(name: String, _ sql: SQL, text: String, types: [UInt32], place: Int) {
            self.name = name
            self.place = place
            terminatedName = Array(name.utf8CString)
            self.text = text
            self.types = types
            pieces = sql.bound.map(\.before)
            tail = sql.tail
        }

        /// Whether this is the statement; mostly both are the same literals, which are equal at a glance.
        fileprivate func stands(for sql: SQL) -> Bool {
            guard pieces.count == sql.bound.count, tail == sql.tail else { return false }
            return sql.bound.withUnsafeBufferPointer { bound in
                for index in 0..<bound.count {
                    if types[index] != bound[index].value.type || pieces[index] != bound[index].before { return false }
                }
                return true
            }
        }
    }

    /// What has to be sent so that a statement can run.
    struct Lookup {
        let statement: Prepared
        let isNew: Bool
        /// Have to be deallocated first.
        let evicted: [String]
    }

    let limit: Int
    private(set) var count = 0
    private var byText: [String: [Prepared]] = [:]
    /// Names that the server still has.
    private var dropped: [String] = []
    private var uses = 0
    /// The one that was used last, which the next caller mostly wants too.
    private var recent: Prepared?
    /// By their places; nil where there is none any more.
    private var all: [Prepared?] = []
    private var names = 0

    init(limit: Int) {
        precondition(limit >= 1, "a statement cache of \(limit)")
        self.limit = limit
    }

    /// The statement, if it is the one that was used last, or the one that came after that one the time before.
    ///
    /// A transaction says the same statements in the same order each time. Neither costs the putting together of a
    /// text of a thousand letters, and its hash.
    mutating func useAgain(_ sql: SQL) -> Prepared? {
        guard let last = recent else { return nil }
        if last.stands(for: sql) {
            uses += 1
            last.lastUse = uses
            return last
        }
        guard last.follower < all.count, let next = all[last.follower], next.stands(for: sql) else { return nil }
        uses += 1
        next.lastUse = uses
        recent = next
        return next
    }

    /// The statement, counted as prepared from now on.
    mutating func use(_ sql: SQL) -> Lookup {
        if let known = useAgain(sql) { return Lookup(statement: known, isNew: false, evicted: []) }
        uses += 1
        let (text, types) = (sql.text, sql.bound.map(\.value.type))
        if let found = byText[text]?.first(where: { $0.types == types }) {
            found.lastUse = uses
            follow(with: found)
            return Lookup(statement: found, isNew: false, evicted: [])
        }
        if count >= limit, let oldest = leastRecentlyUsed { drop(oldest) }
        defer { dropped = [] }
        names += 1
        let place = all.firstIndex { $0 == nil } ?? all.count
        let new = Prepared(name: "s\(names)", sql, text: text, types: types, place: place)
        new.lastUse = uses
        if place == all.count { all.append(new) } else { all[place] = new }
        byText[text, default: []].append(new)
        count += 1
        follow(with: new)
        return Lookup(statement: new, isNew: true, evicted: dropped)
    }

    private mutating func follow(with next: Prepared) {
        recent?.follower = next.place
        recent = next
    }

    /// Forgets a statement that the server does not have.
    mutating func remove(_ statement: Prepared) {
        guard var alike = byText[statement.text], let index = alike.firstIndex(where: { $0 === statement }) else {
            return
        }
        alike.remove(at: index)
        if recent === statement { recent = nil }
        all[statement.place] = nil
        byText[statement.text] = alike.isEmpty ? nil : alike
        count -= 1
    }

    /// Forgets a statement that the server has and should forget too.
    mutating func drop(_ statement: Prepared) {
        remove(statement)
        dropped.append(statement.name)
    }

    private var leastRecentlyUsed: Prepared? {
        byText.values.joined().min { $0.lastUse < $1.lastUse }
    }
}
