import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Resilience
import Runtime

/// Tells operators what they must know: first the synced file, then Slack and the webhook, not too often.
///
/// The shell of `AlertEngine`. `fire` and `resolve` decide at once and never wait: writing, each sink and the clock are
/// tasks of their own inside `run`, so that neither a disk nor a sink that hangs delays anybody.
public final class AlertDispatcher: Sendable {
    /// Who uses it.
    public enum Role: Sendable {
        /// The orchestrator: its file is that of the settings, and it shows to the outside that it lives.
        case main
        /// Any other service: it delivers itself only what the orchestrator does not take, from a file of its own.
        case fallback
    }

    enum Job: Sendable {
        case append([Alert])
        case saveCursor(SinkCursor, sink: String)
    }

    struct Core: Sendable {
        var engine: AlertEngine
        /// Until the file was read, or did not answer: what comes meanwhile.
        var early: [AlertEngine.Event]? = []
        /// A read of the file that is under way.
        var reading: Promise<Result<AlertFile.Restored, any Error>>?
        var isRead = false
        var jobs: [Job] = []
        var outgoing: [String: AlertMessage] = [:]
        var sinks: [String: AlertSink]
        var wakers: [AsyncStream<Void>.Continuation] = []
        var settings: AlertSettings
        var exported = AlertEngine.Statistics()
        var isStoring = false
        var serial = 0
    }

    let source: String
    let role: Role
    let clock: MachineClock
    let wall: WallClock
    let log: Logger
    let metrics: AlertMetrics
    let file: AlertFile
    let http: AlertHTTP
    let core: NIOLockedValueBox<Core>

    /// Events that may come before the file was read.
    static let earlyLimit = 10_000

    /// - Parameters:
    ///   - settings: where alerts go and how often.
    ///   - source: `service/instance`.
    ///   - role: whose alerts they are.
    ///   - policy: every bound; nil for those of the settings.
    ///   - clock: of the process.
    ///   - wall: for what people read, and for what must outlive the process.
    ///   - random: seeds the jitter between attempts.
    ///   - log: of the process.
    ///   - metrics: of the process.
    public init(
        settings: AlertSettings, source: String, role: Role = .main, policy: AlertPolicy? = nil, clock: MachineClock,
        wall: WallClock, random: RandomSource = .system, log: Logger, metrics: MetricsRegistry
    ) {
        self.source = source
        self.role = role
        self.clock = clock
        self.wall = wall
        self.log = log
        self.metrics = AlertMetrics(metrics)
        let path = role == .main ? settings.logPath : AlertFile.named(settings.logPath, AlertFile.tag(source))
        file = AlertFile(path: path, byteLimit: settings.logByteLimit, files: settings.logFiles)
        http = AlertHTTP(clock: clock)
        let sinks = settings.sinks
        let engine = AlertEngine(
            policy: policy ?? settings.policy(for: role), isEnabled: settings.isEnabled, source: source,
            sinks: Array(sinks.keys),
            seed: random.withGenerator { $0.next() }, at: clock.now)
        core = NIOLockedValueBox(Core(engine: engine, sinks: sinks, settings: settings))
        // There before the first delivery: what a counter is born with, nobody who asks for its increase sees.
        for name in sinks.keys {
            _ = self.metrics.deliverySeconds(at: name)
            for code in AlertError.Code.allCases { _ = self.metrics.failed(at: name, code) }
        }
    }

    // MARK: - What others say

    /// Something is wrong, or still is: told at once, and as a repeat at most once in each window.
    ///
    /// Never waits. `isLasting` is false for what merely happened and has no recovery; `id` is set for what was raised
    /// elsewhere: the same id counts once.
    public func fire(
        _ kind: String, fingerprint: String, _ summary: String, fields: [String: String] = [:],
        severity: AlertSeverity = .critical, isLasting: Bool = true, source: String? = nil, id: String? = nil
    ) {
        let at = wall.microseconds
        handle(
            .fire(
                AlertRequest(
                    id: id ?? newID(at), kind: kind, severity: severity, fingerprint: fingerprint, summary: summary,
                    detail: fields, source: source ?? self.source, at: at, isLasting: isLasting)))
    }

    /// Writes into the file what nobody is told: evidence, which the file keeps as it keeps alerts.
    public func record(_ kind: String, _ summary: String, fields: [String: String]) {
        let at = wall.microseconds
        handle(
            .record(
                AlertRequest(
                    id: newID(at), kind: kind, severity: .info, fingerprint: kind, summary: summary, detail: fields,
                    source: source, at: at, isLasting: false)))
    }

    /// It is gone: told with its length exactly when the firing was; cheap and harmless when nothing fires.
    public func resolve(_ fingerprint: String, _ summary: String? = nil) {
        handle(.resolve(fingerprint: fingerprint, summary: summary, at: wall.microseconds))
    }

    /// Ends what an earlier life of this process had told and this one has not seen again; call it when everything
    /// that could still be wrong would have been noticed.
    public func resolveUnconfirmed(kinds: Set<String>) {
        handle(.resolveUnconfirmed(kinds: kinds, at: wall.microseconds))
    }

    /// Raises what was bounded already.
    public func fire(_ request: AlertRequest) { handle(.fire(request)) }

    /// Tells the end of something that another process had told.
    public func tellRecovery(of request: AlertRequest, lasted: Duration) {
        handle(.tellRecovery(request, lasted: lasted))
    }

    /// Takes over what an operator has changed: on or off, addresses, rate limit; not the file.
    public func apply(_ settings: AlertSettings) {
        let sinks = settings.sinks
        core.withLockedValue { core in
            core.settings = settings
            core.sinks = sinks
        }
        handle(.configured(settings.policy(for: role), sinks: sinks.keys.sorted()))
        handle(.switched(isEnabled: settings.isEnabled, at: wall.microseconds))
        wakeAll()
        log.info("alerting configured", metadata: [Key.state: settings.isEnabled ? "on" : "off"])
    }

    private func newID(_ at: Int64) -> String {
        let serial = core.withLockedValue { core in
            core.serial += 1
            return core.serial
        }
        return "\(source)/\(at)/\(serial)"
    }

    // MARK: - What others see

    /// The newest alerts that were told, newest last, at most 100.
    public var recent: [Alert] { core.withLockedValue { $0.engine.recent } }
    /// Fingerprints that fire now.
    public var firing: [String] { core.withLockedValue { $0.engine.firing } }
    /// Whether it fires now, by what this process has taken so far.
    public func isFiring(_ fingerprint: String) -> Bool {
        let fingerprint = AlertRequest.bounded(fingerprint: fingerprint)
        return core.withLockedValue { $0.engine.causes[fingerprint]?.isFiring ?? false }
    }
    public var isEnabled: Bool { core.withLockedValue { $0.engine.isEnabled } }
    /// Sinks that do not take alerts at present.
    public var failingSinks: [String] { core.withLockedValue { $0.engine.failingSinks } }
    /// Alerts that wait for each sink.
    public var waiting: [String: Int] { core.withLockedValue { $0.engine.waiting } }
    /// The alert file in use.
    public var path: String { file.path }
    /// Whether everything told has reached the file and every sink, and the cursors say so.
    public var isIdle: Bool {
        core.withLockedValue { $0.early == nil && !$0.isStoring && $0.jobs.isEmpty && $0.engine.isIdle }
    }
    /// Whether everything fired so far is in the file.
    public var isStored: Bool {
        core.withLockedValue { $0.early == nil && !$0.isStoring && $0.jobs.isEmpty && $0.engine.isStored }
    }

    /// Waits until everything fired so far is in the file, at most for `limit`; returns whether it is.
    public func stored(within limit: Duration) async -> Bool {
        let end = clock.now.advanced(by: limit)
        while !isStored {
            guard clock.now < end, (try? await clock.sleep(for: .milliseconds(5))) != nil else { return false }
        }
        return true
    }

    /// Before the end of the process: waits until everything has arrived, at most for `limit`; the file has the rest.
    public func drain(within limit: Duration) async {
        let end = clock.now.advanced(by: limit)
        while clock.now < end, !isIdle {
            // Cancelled: the file has it.
            guard (try? await clock.sleep(for: .milliseconds(20))) != nil else { return }
        }
    }

    // MARK: - The engine

    func handle(_ event: AlertEngine.Event) {
        let wakers: [AsyncStream<Void>.Continuation] = core.withLockedValue { core in
            if core.early != nil {
                if let count = core.early?.count, count < Self.earlyLimit {
                    core.early?.append(event)
                } else {
                    metrics.unwritten.increment()
                }
                return []
            }
            decide(event, &core)
            return core.wakers
        }
        for waker in wakers { waker.yield() }
    }

    /// Under the lock.
    func decide(_ event: AlertEngine.Event, _ core: inout Core) {
        for effect in core.engine.handle(event, at: clock.now) {
            switch effect {
            case .append(let alerts): core.jobs.append(.append(alerts))
            case .saveCursor(let cursor, let sink):
                core.jobs.removeAll { if case .saveCursor(_, sink) = $0 { true } else { false } }
                core.jobs.append(.saveCursor(cursor, sink: sink))
            case .send(let message, let sink): core.outgoing[sink] = message
            }
        }
        metrics.export(core.engine, since: &core.exported)
    }

    private func wakeAll() {
        for waker in core.withLockedValue({ $0.wakers }) { waker.yield() }
    }

    /// A stream that yields whenever something may be there to do, at once for the first time.
    private func wakeUps() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        continuation.yield()
        core.withLockedValue { $0.wakers.append(continuation) }
        return stream
    }

    // MARK: - The tasks

    /// Writes, sends and watches the time until cancelled.
    public func run() async throws {
        core.withLockedValue { $0.wakers = [] }
        if await !readFile(), !Task.isCancelled { begin(with: .beginUnread(at: wall.microseconds)) }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.keepReading() }
            for body in [writeFile, keepTime, keepSinks, callWatcher] {
                let wakes = wakeUps()
                tasks.addTask { await body(wakes) }
            }
        }
        try Task.checkCancellation()
    }

    /// Everything that waits for the disk, with one sync for all of it.
    private func writeFile(_ wakes: AsyncStream<Void>) async {
        for await _ in wakes {
            while !Task.isCancelled {
                let jobs = core.withLockedValue { core in
                    defer { core.jobs = [] }
                    core.isStoring = !core.jobs.isEmpty
                    return core.jobs
                }
                if jobs.isEmpty { break }
                await perform(jobs)
            }
        }
    }

    private func perform(_ jobs: [Job]) async {
        var alerts: [Alert] = []
        var cursors: [String: SinkCursor] = [:]
        for job in jobs {
            switch job {
            case .append(let more): alerts += more
            case .saveCursor(let cursor, let sink): cursors[sink] = cursor
            }
        }
        let (written, saved) = await write(alerts, cursors)
        let sequences = alerts.map(\.sequence)
        if case .failure(let error) = written {
            metrics.fileFailures.increment()
            log.error("alert not written", metadata: [Key.error: "\(error)", Key.count: "\(alerts.count)"])
            handle(.notStored(sequences, error.code))
        } else if !alerts.isEmpty {
            metrics.written.increment(by: alerts.count)
            handle(.stored(sequences, at: wall.microseconds))
        }
        if case .failure(let error) = saved {
            metrics.fileFailures.increment()
            log.warning("alert cursor not saved", metadata: [Key.error: "\(error)"])
        }
    }

    private typealias Written = Result<Void, AlertError>

    /// Cursors before alerts: a new sink's cursor must not lie behind the first alert that is for it.
    private func write(_ alerts: [Alert], _ cursors: [String: SinkCursor]) async -> (Written, Written) {
        guard core.withLockedValue({ $0.isRead }) else {
            // It may be another process's, and what this life would write could not be told from what it holds.
            let error = AlertError(.file, "\(file.path) was not read yet")
            return (.failure(error), .failure(error))
        }
        let work = { @Sendable [file] () -> (Written, Written) in
            var (written, saved) = (Written.success(()), Written.success(()))
            for (sink, cursor) in cursors {
                do throws(AlertError) { try file.save(cursor, of: sink) } catch { saved = .failure(error) }
            }
            if !alerts.isEmpty {
                do throws(AlertError) { try file.append(alerts) } catch { written = .failure(error) }
            }
            return (written, saved)
        }
        do {
            return try await NIOThreadPool.singleton.runIfActive(work)
        } catch {
            let error = AlertError(.file, "no thread to write with")
            return (.failure(error), .failure(error))
        }
    }

    /// Tells the engine that time has passed, when that can matter.
    private func keepTime(_ wakes: AsyncStream<Void>) async {
        for await _ in wakes {
            while let due = core.withLockedValue({ $0.engine.nextDeadline }), !Task.isCancelled {
                // Something may become due sooner meanwhile, so it never sleeps for long.
                let most: Duration = isIdle ? .seconds(1) : .milliseconds(100)
                let pause = max(.milliseconds(10), min(clock.now.duration(to: due), most))
                guard (try? await clock.sleep(for: pause)) != nil else { return }
                if due <= clock.now { handle(.tick(at: wall.microseconds)) }
                metrics.undelivered.set(file.removedUndelivered)
                metrics.firing.set(core.withLockedValue { $0.engine.firingCount })
            }
        }
    }

    /// One task for each sink that was ever set; a sink that hangs holds up only itself.
    private func keepSinks(_ wakes: AsyncStream<Void>) async {
        await withTaskGroup(of: Void.self) { tasks in
            var served: Set<String> = []
            for await _ in wakes {
                let names = core.withLockedValue { Set($0.sinks.keys) }
                for name in names.subtracting(served).sorted() {
                    served.insert(name)
                    let wakes = wakeUps()
                    tasks.addTask { await self.serve(name, wakes) }
                }
            }
            tasks.cancelAll()
        }
    }

    private func serve(_ name: String, _ wakes: AsyncStream<Void>) async {
        for await _ in wakes {
            while let (message, sink, timeout) = outgoing(to: name), !Task.isCancelled {
                let answer = await http.send(message, to: sink, timeout: timeout)
                if Task.isCancelled { return }
                note(answer, message, sink)
                core.withLockedValue { $0.outgoing[name] = nil }
                handle(.answered(sink: name, answer, at: wall.microseconds))
            }
        }
    }

    private func outgoing(to name: String) -> (AlertMessage, AlertSink, Duration)? {
        core.withLockedValue { core in
            guard let message = core.outgoing[name], let sink = core.sinks[name] else { return nil }
            return (message, sink, core.settings.sendTimeout)
        }
    }

    private func note(_ answer: SinkAnswer, _ message: AlertMessage, _ sink: AlertSink) {
        switch answer {
        case .delivered:
            metrics.delivered(to: sink.name).increment(by: message.alerts.count)
            let seconds = metrics.deliverySeconds(at: sink.name)
            let now = wall.microseconds
            for alert in message.alerts { seconds.observe(Double(max(0, now - alert.at)) / 1_000_000) }
        case .later(let error, _), .refused(let error):
            metrics.failed(at: sink.name, error.code).increment()
            log.warning(
                "alert not delivered",
                metadata: [
                    Key.sink: "\(sink.name)", Key.code: "\(error.code.rawValue)", Key.error: "\(error)",
                    Key.count: "\(message.alerts.count)",
                ])
        }
    }

    /// Calls the outside watcher: when the calls end, it knows that we are gone (requirement 11).
    private func callWatcher(_ wakes: AsyncStream<Void>) async {
        var isFailing = false
        while !Task.isCancelled {
            let (settings, isEnabled) = core.withLockedValue { ($0.settings, $0.engine.isEnabled) }
            if let address = settings.deadManURL, isEnabled, role == .main {
                let error = await http.call(address, name: "the outside watcher", timeout: settings.sendTimeout)
                if let error {
                    metrics.watcherFailures.increment()
                    if !isFailing { log.warning("outside watcher not reached", metadata: [Key.error: "\(error)"]) }
                } else {
                    metrics.watcherCalls.increment()
                }
                isFailing = error != nil
            }
            guard (try? await clock.sleep(for: settings.deadManInterval)) != nil else { return }
        }
    }
}
