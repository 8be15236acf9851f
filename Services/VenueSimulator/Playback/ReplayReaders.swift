import Domain
import Resilience

/// Who reads the scoreboard, and which of them a step waits for.
///
/// A reader that declares itself (header `X-Replay-Reader`) is waited for from its first read. With each read it says
/// which step it has worked off (`X-Replay-Handled`): a step is left only after that, so that whatever follows from a
/// step happens in it. One that does not declare itself never sets the pace. A reader that was not heard of for a hold
/// is no longer waited for until it reads again.
struct ReplayReaders: Sendable {
    private struct Reader: Sendable {
        var isActive = true
        var lastRead: MachineInstant
        /// The newest step it has worked off.
        var handled: VenueInstant?
    }

    /// More than these are not waited for.
    static let limit = 64

    private var readers: [String: Reader] = [:]

    var active: [String] { readers.filter(\.value.isActive).keys.sorted() }
    var hasActive: Bool { readers.contains { $0.value.isActive } }

    /// Active readers that have not worked off the step of that instant.
    func awaited(for step: VenueInstant) -> [String] {
        readers.filter { $0.value.isActive && ($0.value.handled.map { $0 < step } ?? true) }.keys.sorted()
    }

    /// When the last of these readers was heard of.
    func lastRead(of names: [String]) -> MachineInstant? { names.compactMap { readers[$0]?.lastRead }.max() }

    mutating func read(by name: String, handled: VenueInstant?, at now: MachineInstant) {
        var reader = readers[name] ?? Reader(lastRead: now)
        reader.isActive = true
        reader.lastRead = now
        if let handled { reader.handled = max(reader.handled ?? handled, handled) }
        if readers[name] == nil, readers.count >= Self.limit {
            guard let oldest = readers.min(by: { ($0.value.lastRead, $0.key) < ($1.value.lastRead, $1.key) }) else {
                return
            }
            readers[oldest.key] = nil
        }
        readers[name] = reader
    }

    mutating func drop(_ names: [String]) {
        for name in names { readers[name]?.isActive = false }
    }
}
