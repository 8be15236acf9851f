import Domain

/// The epoch under which a game last ended here, so that a replayed command does not bring it back.
///
/// Bounded: the longest known goes first.
struct EndedGames: Sendable {
    private static let kept = 4_096
    private var epochs: [GameID: Epoch] = [:]
    private var order: [GameID] = []

    /// Whether the game ended here under this epoch or a newer one.
    func covers(_ game: GameID, _ epoch: Epoch) -> Bool { epochs[game].map { epoch <= $0 } ?? false }

    mutating func record(_ game: GameID, _ epoch: Epoch) {
        if let known = epochs[game] {
            epochs[game] = max(known, epoch)
            return
        }
        epochs[game] = epoch
        order.append(game)
        if order.count > Self.kept { epochs[order.removeFirst()] = nil }
    }
}
