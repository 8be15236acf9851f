import Runtime

/// Work that waits for the world, so that deciding never does: bounded, in order, for one consumer.
///
/// When it is full the oldest waiting work is dropped and counted: newer prices, states and signals replace older ones.
/// What comes after it was closed is counted too.
struct Lane<Work: Sendable>: Sendable {
    private let stream: AsyncStream<Work>
    private let continuation: AsyncStream<Work>.Continuation
    private let dropped: Counter
    private let isDone = Promise<Void>()

    init(_ name: String, limit: Int, metrics: MetricsRegistry) {
        (stream, continuation) = AsyncStream.makeStream(of: Work.self, bufferingPolicy: .bufferingNewest(limit))
        dropped = metrics.counter(
            "shard_dropped_total", "Work dropped from a full or closed lane.", labels: ["lane": name])
    }

    func add(_ work: Work) {
        switch continuation.yield(work) {
        case .dropped, .terminated: dropped.increment()
        case .enqueued: break
        @unknown default: break
        }
    }

    /// Works until cancelled, or until what waits is done once the lane was closed.
    func run(_ body: (Work) async -> Void) async {
        for await work in stream { await body(work) }
        isDone.fulfil(())
    }

    /// Takes no more, and returns when what waited is done; part of the drain, which bounds it.
    func finish() async {
        continuation.finish()
        await isDone.value()
    }
}

/// What a shard has to say and to ask, each kind on a lane of its own: a slow database delays no signal.
struct Lanes: Sendable {
    let hints: Lane<Hint>
    let messages: Lane<JournaledMessage>
    let records: Lane<ShardRecord>
    /// Questions for the epochs, by when they were asked; only the newest waits.
    let questions: Lane<Asked>
    /// A wish to read all assignments again.
    let rereads: Lane<Void>

    init(metrics: MetricsRegistry) {
        hints = Lane("hints", limit: 1_000, metrics: metrics)
        messages = Lane("messages", limit: 10_000, metrics: metrics)
        records = Lane("records", limit: 1_000, metrics: metrics)
        questions = Lane("questions", limit: 1, metrics: metrics)
        rereads = Lane("rereads", limit: 1, metrics: metrics)
    }
}
