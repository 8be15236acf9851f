import Resilience

/// The lanes of an outbox and what they hold together.
struct OutboxState {
    /// By channel: as many as this process has published on.
    var lanes: [String: OutboxLane] = [:]
    /// Messages that wait, in all lanes.
    var count = 0
    var bytes = 0
    /// Channels whose lane needs a task.
    var troubled: Set<String> = []
    /// Nil while nobody runs the outbox.
    var wake: AsyncStream<Void>.Continuation?

    /// Appends a message to its lane.
    ///
    /// - Returns: whether its publisher waits, and its size.
    mutating func add(
        _ draft: EnvelopeDraft, _ channel: String, _ completion: @escaping OutboxLane.Completion
    ) -> (waits: Bool, bytes: Int) {
        // Not the lane itself: appending to a copy of its buffer would copy all of it.
        guard let (sequence, isStuck) = lanes[channel].map({ ($0.nextSequence, $0.isStuck) }) else { return (false, 0) }
        let payload = draft.payload(sequence: sequence)
        let waits = wake != nil && !isStuck
        lanes[channel]?.append(payload, completion: waits ? completion : nil)
        return (waits, payload.count)
    }

    /// Hands a lane to a task, or leaves it where it is while there are none.
    mutating func trouble(_ channel: String) {
        guard let wake else {
            lanes[channel]?.phase = .idle
            return
        }
        lanes[channel]?.phase = .troubled
        troubled.insert(channel)
        wake.yield()
    }

    mutating func takeTroubled() -> [String] {
        defer { troubled = [] }
        return troubled.sorted()
    }

    /// The first messages of a lane are stored, and the lane is free.
    mutating func confirm(
        _ count: Int, _ channel: String, at now: MachineInstant, _ metrics: BusMetrics
    ) -> [OutboxLane.Message] {
        let dropped = lanes[channel]?.keptDropped ?? 0
        let confirmed = lanes[channel]?.confirm(count, at: now) ?? []
        lanes[channel]?.phase = .idle
        metrics.keptDropped.increment(by: (lanes[channel]?.keptDropped ?? 0) - dropped)
        self.count -= confirmed.count
        bytes -= confirmed.reduce(0) { $0 + $1.payload.count }
        metrics.queued.set(self.count)
        metrics.stored.increment(by: confirmed.count)
        return confirmed
    }

    /// Nobody serves the lanes any more.
    ///
    /// - Returns: the publishers that wait.
    mutating func stop() -> [OutboxLane.Completion] {
        wake = nil
        troubled = []
        var left: [OutboxLane.Completion] = []
        for channel in lanes.keys.sorted() {
            if lanes[channel]?.phase == .troubled { lanes[channel]?.phase = .idle }
            left += lanes[channel]?.stopWaiting() ?? []
        }
        return left
    }
}
