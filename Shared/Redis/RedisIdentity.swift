/// Under which names the connections of one client stand in the server's CLIENT LIST.
struct RedisIdentity: Hashable, Sendable {
    /// For instance `linesman:game-shard/7`.
    let name: String
    /// Tells one life of a process from the next; without it nobody's connections are leftovers.
    let incarnation: String?

    /// The server takes printable ASCII without spaces.
    init(name: String, incarnation: String?) {
        func printable(_ text: String) -> String {
            String(decoding: text.utf8.map { (0x21...0x7e).contains($0) ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
        }
        self.name = printable(name)
        self.incarnation = incarnation.map(printable)
    }

    /// `linesman:game-shard/7/<incarnation>:commands`.
    func clientName(_ role: RedisLinkRole) -> String {
        name + (incarnation.map { "/" + $0 } ?? "") + ":" + role.rawValue
    }

    /// Whether a connection of that name belongs to an earlier life: same service and instance, other incarnation.
    func isLeftover(_ clientName: some StringProtocol) -> Bool {
        guard let incarnation, clientName.hasPrefix(name + "/") else { return false }
        let rest = clientName.dropFirst(name.count + 1)
        guard let colon = rest.lastIndex(of: ":"),
            RedisLinkRole(rawValue: String(rest[rest.index(after: colon)...])) != nil
        else { return false }
        let other = rest[..<colon]
        return other != incarnation && !other.contains("/")
    }

    /// The numbers of the leftovers in a CLIENT LIST.
    func leftovers(in list: String) -> [Int64] {
        list.split(whereSeparator: \.isNewline).compactMap { line in
            let fields = line.split(separator: " ")
            guard let name = fields.first(where: { $0.hasPrefix("name=") }), isLeftover(name.dropFirst(5)),
                let id = fields.first(where: { $0.hasPrefix("id=") })
            else { return nil }
            return Int64(id.dropFirst(3))
        }
    }
}
