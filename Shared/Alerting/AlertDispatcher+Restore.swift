import Logging
import NIOConcurrencyHelpers
import NIOPosix
import Runtime

/// How a life gets at what earlier ones left.
extension AlertDispatcher {
    typealias Reading = Result<AlertFile.Restored, any Error>

    /// Reads file and cursors, once in a life, and lets in what came meanwhile; returns whether it has.
    func readFile() async -> Bool {
        if core.withLockedValue({ $0.isRead }) { return true }
        let reading = startReading()
        let patience = core.withLockedValue { $0.engine.policy.readPatience }
        defer { core.withLockedValue { $0.reading = reading.current == nil ? reading : nil } }
        do {
            // A disk that hangs lets nobody go: the read is left to itself, and waited for again.
            let restored = try await withDeadline(patience, clock: clock) { try await reading.value().get() }
            if restored.unreadable > 0 {
                log.warning("alert file has unreadable lines", metadata: [Key.count: "\(restored.unreadable)"])
            }
            metrics.unreadable.increment(by: restored.unreadable)
            begin(
                with: .restore(records: restored.records, cursors: restored.cursors, at: wall.microseconds),
                isRead: true)
            return true
        } catch {
            if Task.isCancelled { return false }
            metrics.fileFailures.increment()
            log.error("alert file not read", metadata: [Key.error: "\(error)", Key.path: "\(file.path)"])
            return false
        }
    }

    /// The read that is under way, or a new one.
    private func startReading() -> Promise<Reading> {
        let fresh = Promise<Reading>()
        let (reading, names): (Promise<Reading>, [String]) = core.withLockedValue { core in
            let reading = core.reading ?? fresh
            core.reading = reading
            return (reading, core.sinks.keys.sorted())
        }
        guard reading === fresh else { return reading }
        NIOThreadPool.singleton.submit { [file, source] state in
            fresh.fulfil(
                Result {
                    guard state == .active else { throw AlertError(.file, "no thread to read with") }
                    return try file.restore(sinks: names, otherName: source)
                })
        }
        return reading
    }

    /// The first event of the life and what came before it, or the late word on what the file holds.
    func begin(with event: AlertEngine.Event, isRead: Bool = false) {
        let wakers = core.withLockedValue { core in
            let early = core.early
            // A life begins once, however often `run` does.
            guard isRead || early != nil else { return core.wakers }
            core.early = nil
            core.isRead = isRead
            decide(event, &core)
            for event in early ?? [] { decide(event, &core) }
            return core.wakers
        }
        for waker in wakers { waker.yield() }
    }

    /// Tries on until the file was read.
    func keepReading() async {
        while !Task.isCancelled, await !readFile() {
            let pause = core.withLockedValue { $0.engine.policy.storeRetry }
            guard (try? await clock.sleep(for: pause)) != nil else { return }
        }
    }
}
