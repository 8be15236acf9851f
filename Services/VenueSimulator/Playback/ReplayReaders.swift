import Resilience

/// Who reads the scoreboard, and which of them a step waits for.
///
/// A reader that declares itself (header `X-Replay-Reader`) is waited for from its first read. One that does not never
/// sets the pace. A reader that let a hold run out is no longer waited for until it reads again.
struct ReplayReaders: Sendable {
    private struct Reader: Sendable {
        var isActive = true
        var lastRead: MachineInstant
        /// The first read in the current step.
        var readInStep: MachineInstant?
    }

    /// More than these are not waited for.
    static let limit = 64

    private var readers: [String: Reader] = [:]

    var active: [String] { readers.filter(\.value.isActive).keys.sorted() }
    var hasActive: Bool { readers.contains { $0.value.isActive } }
    /// Active readers that have not read in this step.
    var awaited: [String] { readers.filter { $0.value.isActive && $0.value.readInStep == nil }.keys.sorted() }
    /// When the last of the active readers first read in this step.
    var lastAwaitedRead: MachineInstant? { readers.values.filter(\.isActive).compactMap(\.readInStep).max() }

    mutating func read(by name: String, at now: MachineInstant) {
        var reader = readers[name] ?? Reader(lastRead: now)
        reader.isActive = true
        reader.lastRead = now
        reader.readInStep = reader.readInStep ?? now
        if readers[name] == nil, readers.count >= Self.limit {
            guard let oldest = readers.min(by: { ($0.value.lastRead, $0.key) < ($1.value.lastRead, $1.key) }) else {
                return
            }
            readers[oldest.key] = nil
        }
        readers[name] = reader
    }

    mutating func beginStep() {
        for name in readers.keys { readers[name]?.readInStep = nil }
    }

    mutating func dropAwaited() {
        for name in awaited {
            readers[name]?.isActive = false
        }
    }
}
