import Logging
import NIOConcurrencyHelpers
import NIOPosix
import Resilience
import Runtime

/// Stores rows that may wait: in the database, or while it is away in a journal on disk, from which they follow in
/// order, each exactly once (CHECKLIST N22).
///
/// A row is known by its stream (one life of one process) and its sequence. How far a stream has been stored stands in
/// `journal_positions`, changed in the transaction of the rows: so neither a lost answer to COMMIT nor a kill at any
/// moment stores a row twice. Rows that the database refuses for good become dead letters there and hold up nothing.
public actor WriteJournal {
    private struct Pending {
        let record: JournalRecord
        let frame: [UInt8]
        let reply: CheckedContinuation<Void, any Error>?
    }

    /// Rows in memory: those that wait for their turn, and how many are under way.
    private struct Intake {
        var waiting: [Pending] = []
        var underWay = 0
        var sequence: Int64 = 0
        var isClosed = false
    }

    private let settings: JournalSettings
    private let path: String
    private let pool: PostgresPool
    private let metrics: JournalMetrics
    private let disk: JournalFolder.Disk
    private let stream: String
    private let apply: @Sendable (DeferredWrite, PostgresTransaction) async throws -> Void
    private let published = NIOLockedValueBox(JournalStatistics())
    private let intake = NIOLockedValueBox(Intake())
    private let (arrived, kept) = (OutboxNudge(), OutboxNudge())

    private var folder: JournalFolder?
    private var openAgainAt: MachineInstant?
    private var counts = JournalStatistics()
    private var awaySince: MachineInstant?
    private var hasEnded = false

    /// A journal for the service and instance that `name` says; opens nothing yet.
    ///
    /// `apply` writes one row, and may `enqueue` it; what it throws about the row itself makes that a dead letter.
    public init(
        settings: JournalSettings, name: String, pool: PostgresPool, metrics: MetricsRegistry,
        apply: @escaping @Sendable (DeferredWrite, PostgresTransaction) async throws -> Void
    ) {
        self.init(
            settings: settings, name: name, pool: pool, metrics: metrics, disk: JournalFolder.Disk(), apply: apply)
    }

    init(
        settings: JournalSettings, name: String, pool: PostgresPool, metrics: MetricsRegistry,
        disk: JournalFolder.Disk, apply: @escaping @Sendable (DeferredWrite, PostgresTransaction) async throws -> Void
    ) {
        self.settings = settings
        self.pool = pool
        self.disk = disk
        self.apply = apply
        self.metrics = JournalMetrics(metrics)
        path = "\(settings.path)/\(name.replacing("/", with: "-"))"
        stream = pool.random.uuid()
    }

    public nonisolated var statistics: JournalStatistics { published.withLockedValue { $0 } }

    /// Throws when rows could not be kept if the database went away now.
    public nonisolated func checkHealth() throws(JournalError) {
        let now = statistics
        if let failure = now.diskFailure { throw JournalError(code: .file, message: failure) }
        if now.records >= settings.recordLimit || now.bytes >= settings.byteLimit {
            throw JournalError(code: .full, message: "\(now.records) rows, \(now.bytes) bytes wait")
        }
    }

    /// Takes the row and returns at once; rows are stored in the order in which they were given.
    ///
    /// What cannot be kept is counted and logged.
    public nonisolated func submit(_ write: DeferredWrite) {
        if let error = take(write, nil) { noteRefusal(error) }
    }

    /// Returns once the row is committed, or synced to disk.
    ///
    /// Throws `JournalError` when it is not kept.
    public nonisolated func write(_ write: DeferredWrite) async throws {
        try await withCheckedThrowingContinuation { reply in
            guard let error = take(write, reply) else { return }
            noteRefusal(error)
            reply.resume(throwing: error)
        }
    }

    private nonisolated func take(
        _ write: DeferredWrite, _ reply: CheckedContinuation<Void, any Error>?
    ) -> JournalError? {
        let error = intake.withLockedValue { intake -> JournalError? in
            if intake.isClosed { return JournalError(code: .closed, message: "the journal has ended") }
            guard intake.waiting.count < settings.pendingLimit else {
                return JournalError(code: .full, message: "\(intake.waiting.count) rows wait in memory")
            }
            let record = JournalRecord(sequence: intake.sequence + 1, write: write)
            guard let frame = JournalFormat.encode(record) else {
                return JournalError(code: .tooLarge, message: "\(write.kind) of \(write.payload.utf8.count) bytes")
            }
            intake.sequence += 1
            intake.waiting.append(Pending(record: record, frame: frame, reply: reply))
            return nil
        }
        if error == nil { arrived() }
        return error
    }

    private nonisolated func noteRefusal(_ error: JournalError, _ count: Int = 1) {
        published.withLockedValue { $0.refused += count }
        metrics.refused(error.code, count)
        pool.log.error(
            "rows not kept", metadata: ["count": "\(count)", "code": "\(error.code)", "error": "\(error)"])
    }

    private nonisolated var isEmpty: Bool { intake.withLockedValue { $0.waiting.isEmpty && $0.underWay == 0 } }

    /// Waits until nothing is in memory any more, for a bounded time; part of the drain.
    ///
    /// What is on disk stays there.
    public nonisolated func drain(within limit: Duration) async {
        let end = pool.clock.now.advanced(by: limit)
        while !isEmpty, pool.clock.now < end {
            guard (try? await pool.clock.sleep(for: .milliseconds(5))) != nil else { return }  // cancelled
        }
    }

    /// Works until cancelled, then gives the folder back.
    public func run() async {
        _ = await opened()
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.place() }
            tasks.addTask { await self.replay() }
        }
        hasEnded = true
        let left = intake.withLockedValue { intake in
            intake.isClosed = true
            defer { intake.waiting = [] }
            return intake.waiting
        }
        if !left.isEmpty { refuse(left, JournalError(code: .closed, message: "the journal has ended")) }
        folder?.close()
        folder = nil
    }

    // MARK: Rows that arrive

    private func place() async {
        while !Task.isCancelled {
            let batch = intake.withLockedValue { intake in
                let batch = Array(intake.waiting.prefix(settings.batchLimit))
                intake.waiting.removeFirst(batch.count)
                intake.underWay = batch.count
                return batch
            }
            if batch.isEmpty {
                await arrived.wait(atMost: .seconds(1), clock: pool.clock)
            } else {
                await place(batch)
                intake.withLockedValue { $0.underWay = 0 }
            }
        }
    }

    /// While rows wait on disk, younger ones queue behind them.
    private func place(_ batch: [Pending]) async {
        if (folder?.contents.records ?? 0) == 0 {
            var rest = batch[...]
            do {
                try await store(batch.map(\.record), of: stream) { record, error in
                    while let row = rest.first, row.record.sequence <= record.sequence {
                        rest.removeFirst()
                        if row.record == record, let error {
                            row.reply?.resume(throwing: error)
                        } else {
                            row.reply?.resume()
                        }
                    }
                }
                counts.direct += batch.count
                metrics.direct.increment(by: batch.count)
                return publish()
            } catch {
                // What was not answered goes to disk under the same sequences: nothing of it is stored twice.
                noteAway(error)
                return await keep(Array(rest))
            }
        }
        await keep(batch)
    }

    private func keep(_ batch: [Pending]) async {
        guard !batch.isEmpty else { return }
        do {
            guard let folder = await opened() else {
                throw JournalError(code: .file, message: counts.diskFailure ?? "no folder")
            }
            let contents = folder.contents
            let bytes = batch.reduce(0) { $0 + $1.frame.count }
            guard contents.records + batch.count <= settings.recordLimit, contents.bytes + bytes <= settings.byteLimit
            else {
                throw JournalError(
                    code: .full, message: "\(contents.records) rows, \(contents.bytes) bytes wait in \(path)")
            }
            let frames = batch.map(\.frame)
            try await NIOThreadPool.singleton.runIfActive { try folder.append(frames) }
            counts.diskFailure = nil
            counts.journaled += batch.count
            metrics.journaled.increment(by: batch.count)
            for row in batch { row.reply?.resume() }
        } catch {
            let error = error as? JournalError ?? JournalError(code: .file, message: "\(error)")
            if error.code != .full { counts.diskFailure = error.message }
            refuse(batch, error)
        }
        publish()
        kept()
    }

    private func refuse(_ rows: [Pending], _ error: JournalError) {
        noteRefusal(error, rows.count)
        for row in rows { row.reply?.resume(throwing: error) }
    }

    // MARK: Rows that wait

    private func replay() async {
        var backoff = Backoff(base: settings.retryBase, cap: settings.retryCap, jitter: 0.5, jitterOnlyShortens: true)
        var retiredStreams: Set<String> = []
        while !Task.isCancelled {
            await tryDiskAgain()
            do {
                guard let chunk = try await nextChunk() else {
                    noteBack()
                    await kept.wait(atMost: .seconds(1), clock: pool.clock)
                    continue
                }
                try await store(chunk.records, of: chunk.stream) { _, _ in }
                await advance(past: chunk)
                counts.replayed += chunk.records.count
                metrics.replayed.increment(by: chunk.records.count)
                publish()
                backoff.reset()
                if chunk.stream != stream { retiredStreams.insert(chunk.stream) }
                retiredStreams = await retire(retiredStreams)
            } catch {
                if Task.isCancelled { return }
                noteAway(error)
                let delay = pool.random.withGenerator { backoff.next(using: &$0) }
                try? await pool.clock.sleep(for: delay)  // cancelled: the loop's condition sees it
            }
        }
    }

    private func nextChunk() async throws -> JournalFolder.Chunk? {
        guard let folder = await opened(), folder.contents.records > 0 else { return nil }
        let limit = settings.batchLimit
        return try await NIOThreadPool.singleton.runIfActive { try folder.next(limit) }
    }

    private func advance(past chunk: JournalFolder.Chunk) async {
        guard let folder else { return }
        // It throws only when the pool of threads has ended, with the process.
        try? await NIOThreadPool.singleton.runIfActive { folder.advance(past: chunk) }
    }

    /// The positions of earlier lives are of no use once their files are gone.
    private func retire(_ streams: Set<String>) async -> Set<String> {
        guard let folder else { return streams }
        let done = streams.subtracting(folder.streams)
        guard !done.isEmpty else { return streams }
        do {
            // A life that left nothing on disk leaves its position; after a year nobody asks for it.
            try await pool.execute(
                """
                DELETE FROM journal_positions WHERE stream = ANY(\(done.sorted()))
                    OR (saved_at < now() - interval '1 year' AND stream <> ALL(\(folder.streams.sorted())))
                """)
            return streams.subtracting(done)
        } catch {
            return streams  // tried again with the next rows
        }
    }

    // MARK: Storing

    /// Stores these, in order; tells of each row that it is dealt with, in order.
    private func store(
        _ records: [JournalRecord], of stream: String, told: (JournalRecord, JournalError?) -> Void
    ) async throws {
        do {
            try await commit(records, of: stream)
            if let last = records.last { told(last, nil) }
        } catch  where Self.blamesRow(error) {
            // One of them is at fault: which one, is found by storing them one by one.
            for record in records {
                do {
                    try await commit([record], of: stream)
                    told(record, nil)
                } catch  where Self.blamesRow(error) {
                    try await bury(record, of: stream, "\(error)")
                    told(record, JournalError(code: .refused, message: "\(error)"))
                }
            }
        }
    }

    /// Stores what of these is not yet stored, all or nothing.
    func commit(_ records: [JournalRecord], of stream: String) async throws {
        guard let last = records.last else { return }
        let apply = apply
        try await pool.transaction("deferred writes", timeout: settings.timeout) { transaction in
            let position = try await Self.position(stream, transaction)
            for record in records where record.sequence > position { try await apply(record.write, transaction) }
            try Self.move(stream, to: last.sequence, transaction)
        }
    }

    /// How far the stream is stored, locked: an attempt whose answer was lost is waited for.
    private static func position(_ stream: String, _ transaction: PostgresTransaction) async throws -> Int64 {
        // What is forgotten here after the commit must be on the server's disk by then.
        try transaction.enqueue(
            """
            SELECT set_config('synchronous_commit', 'on', true)
            WHERE current_setting('synchronous_commit') = 'off'
            """)
        try transaction.enqueue(
            "INSERT INTO journal_positions (stream, sequence) VALUES (\(stream), 0) ON CONFLICT DO NOTHING")
        let row = try await transaction.first(
            "SELECT sequence FROM journal_positions WHERE stream = \(stream) FOR UPDATE")
        return try row?.int64("sequence") ?? 0
    }

    private static func move(_ stream: String, to sequence: Int64, _ transaction: PostgresTransaction) throws {
        try transaction.enqueue(
            """
            UPDATE journal_positions SET sequence = \(sequence), saved_at = now()
            WHERE stream = \(stream) AND sequence < \(sequence)
            """)
    }

    private func bury(_ record: JournalRecord, of stream: String, _ failure: String) async throws {
        try await pool.transaction("dead letter", timeout: settings.timeout) { transaction in
            let position = try await Self.position(stream, transaction)
            guard record.sequence > position else { return }
            // Bound as they are, unless that is what the database refuses.
            let payload = record.write.payload.replacing("\0", with: "\u{FFFD}")
            try transaction.enqueue(
                """
                INSERT INTO journal_dead_letters (stream, sequence, kind, payload, failure)
                VALUES (\(stream), \(record.sequence), \(record.write.kind), \(payload), \(failure))
                """)
            try Self.move(stream, to: record.sequence, transaction)
        }
        counts.deadLetters += 1
        metrics.deadLetters.increment()
        pool.log.error(
            "row refused by the database",
            metadata: ["kind": "\(record.write.kind)", "sequence": "\(record.sequence)", "error": "\(failure)"])
    }

    /// Whether the same row would be refused for ever: its data, or a constraint; not the database's own state.
    private static func blamesRow(_ error: any Error) -> Bool {
        if error is CancellationError { return false }
        return (error as? PostgresError)?.blamesRow ?? true
    }

    // MARK: The folder

    /// Opens it when it is not open: another process may still have it, or its disk be full.
    private func opened() async -> JournalFolder? {
        if let folder { return folder }
        if hasEnded { return nil }
        if let openAgainAt, pool.clock.now < openAgainAt { return nil }
        openAgainAt = pool.clock.now.advanced(by: .seconds(1))
        do {
            let (path, stream, segmentBytes, disk) = (path, stream, settings.segmentBytes, disk)
            let opened = try await NIOThreadPool.singleton.runIfActive {
                try JournalFolder(path: path, stream: stream, segmentBytes: segmentBytes, disk: disk)
            }
            folder = opened
            counts.diskFailure = nil
            note(opened.contents)
            return opened
        } catch {
            if counts.diskFailure == nil {
                pool.log.error("journal not usable", metadata: ["path": "\(path)", "error": "\(error)"])
            }
            counts.diskFailure = "\(error)"
            publish()
            return nil
        }
    }

    private func note(_ found: JournalFolder.Contents) {
        counts.tornBytes += found.tornBytes
        counts.damaged += found.damaged
        metrics.tornBytes.increment(by: found.tornBytes)
        metrics.damaged.increment(by: found.damaged)
        publish()
        guard found.records > 0 || found.tornBytes > 0 || found.damaged > 0 else { return }
        let line: Logger.Level = found.damaged > 0 ? .error : .warning
        pool.log.log(
            level: line, "journal of an earlier life found",
            metadata: [
                "records": "\(found.records)", "torn_bytes": "\(found.tornBytes)", "damaged": "\(found.damaged)",
            ])
    }

    /// The check ends with the trouble, not with the next outage of the database.
    private func tryDiskAgain() async {
        guard counts.diskFailure != nil, let folder else { return }
        guard (try? await NIOThreadPool.singleton.runIfActive({ try folder.probe() })) != nil else { return }
        counts.diskFailure = nil
        publish()
    }

    // MARK: Telling

    private func noteAway(_ error: any Error) {
        guard awaySince == nil else { return }
        awaySince = pool.clock.now
        pool.log.warning("rows wait in the journal", metadata: ["path": "\(path)", "error": "\(error)"])
    }

    private func noteBack() {
        guard let since = awaySince else { return }
        awaySince = nil
        pool.log.info(
            "journal stored",
            metadata: [
                "replayed": "\(counts.replayed)",
                "duration_ms": "\(pool.clock.now.since(since).wholeMilliseconds)",
            ])
    }

    private func publish() {
        if let contents = folder?.contents {
            counts.records = contents.records
            counts.bytes = contents.bytes
            metrics.set(contents)
        }
        let now = counts
        published.withLockedValue { published in
            let refused = published.refused
            published = now
            published.refused = refused
        }
    }
}
