import Foundation
import NIOConcurrencyHelpers

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The synced file that every alert is written to before anything else happens with it, and the cursors of the sinks.
///
/// One JSON line for each record. `PATH.1` is the file before the present one, and so on. `PATH.SINK.cursor` says how
/// far a sink has come. `PATH.lock` is held by the one process that writes here. Every call may block on the disk, so
/// none is made on the cooperative pool.
final class AlertFile: Sendable {
    struct Restored: Sendable {
        var records: [Alert] = []
        var cursors: [String: SinkCursor] = [:]
        /// Lines that are no records, a torn last one included.
        var unreadable = 0
    }

    private struct State {
        var path: String
        var lock: Int32 = -1
        var descriptor: Int32 = -1
        var size = 0
        var cursors: [String: Int64] = [:]
    }

    /// What others may look at while a call is stuck on the disk.
    private struct Facts {
        var path: String
        var removedUndelivered = 0
    }

    private let preferredPath: String
    private let byteLimit: Int
    private let files: Int
    private let state: NIOLockedValueBox<State>
    private let facts: NIOLockedValueBox<Facts>

    init(path: String, byteLimit: Int, files: Int) {
        preferredPath = path
        self.byteLimit = byteLimit
        self.files = files
        state = NIOLockedValueBox(State(path: path))
        facts = NIOLockedValueBox(Facts(path: path))
    }

    deinit {
        state.withLockedValue { state in
            if state.descriptor >= 0 { close(state.descriptor) }
            if state.lock >= 0 { close(state.lock) }
        }
    }

    /// Where alerts are written: the path that was asked for, or one beside it when another process has that one.
    var path: String { facts.withLockedValue { $0.path } }

    /// Files that were removed although a sink had not got everything in them.
    var removedUndelivered: Int { facts.withLockedValue { $0.removedUndelivered } }

    // MARK: - A new life

    /// Claims the file, and reads what earlier lives left.
    func restore(sinks: [String], otherName: String) throws(AlertError) -> Restored {
        try claim(otherName: otherName)
        let path = path
        var restored = Restored()
        for sink in sinks {
            // No cursor, or one that is none: the sink begins anew.
            guard let data = try Self.contents(of: Self.cursorPath(path, sink)),
                let cursor = try? JSONDecoder().decode(SinkCursor.self, from: data)
            else { continue }
            restored.cursors[sink] = cursor
            state.withLockedValue { $0.cursors[sink] = cursor.sequence }
        }
        let oldest = restored.cursors.values.map(\.sequence).min() ?? .max
        var known: Set<Int64> = []
        for index in 0...files {
            let name = index == 0 ? path : "\(path).\(index)"
            let first = restored.records.first?.sequence ?? .max
            // The present file and the one before it hold the rate limits; older ones only what waits.
            guard index < 2 || first > oldest, let data = try Self.contents(of: name) else { break }
            let (records, unreadable) = Self.records(in: data)
            restored.records = records.filter { known.insert($0.sequence).inserted } + restored.records
            restored.unreadable += unreadable
        }
        return restored
    }

    /// What a file holds; nil when there is none.
    ///
    /// What is there and cannot be read is no empty file: what it holds would be lost, and its numbers used again.
    private static func contents(of path: String) throws(AlertError) -> Data? {
        do {
            return try Data(contentsOf: URL(filePath: path))
        } catch {
            var found = stat()
            guard stat(path, &found) != 0 || found.st_mode & S_IFMT != S_IFREG else {
                throw AlertError(.file, "cannot read \(path)")
            }
            return nil
        }
    }

    private static func records(in data: Data) -> (records: [Alert], unreadable: Int) {
        let decoder = JSONDecoder()
        var records: [Alert] = []
        var unreadable = 0
        for line in data.split(separator: UInt8(ascii: "\n")) {
            if let record = try? decoder.decode(Alert.self, from: line) {
                records.append(record)
            } else {
                unreadable += 1
            }
        }
        return (records, unreadable)
    }

    /// Takes the lock, which ends with the process however it ends.
    private func claim(otherName: String) throws(AlertError) {
        // Claimed by an attempt that could not read then.
        if state.withLockedValue({ $0.lock >= 0 }) { return }
        let folder = URL(filePath: preferredPath).deletingLastPathComponent()
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw AlertError(.file, "cannot create \(folder.path)")
        }
        for path in [
            preferredPath, Self.named(preferredPath, Self.tag(otherName)), Self.named(preferredPath, "\(getpid())"),
        ] {
            let lock = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
            guard lock >= 0 else { throw Self.failure("cannot open \(path).lock") }
            if flock(lock, LOCK_EX | LOCK_NB) == 0 {
                state.withLockedValue { state in
                    state.lock = lock
                    state.path = path
                }
                facts.withLockedValue { $0.path = path }
                return
            }
            close(lock)
        }
        throw AlertError(.file, "\(preferredPath) belongs to another process")
    }

    /// `alerts.log` and `2` give `alerts.2.log`.
    static func named(_ path: String, _ tag: String) -> String {
        let url = URL(filePath: path)
        let stem = url.deletingPathExtension().lastPathComponent
        let name = url.pathExtension.isEmpty ? "\(stem).\(tag)" : "\(stem).\(tag).\(url.pathExtension)"
        return url.deletingLastPathComponent().appending(path: name).path
    }

    /// `game-shard/shard-01` gives `game-shard-shard-01`.
    static func tag(_ source: String) -> String {
        String(source.map { $0.isLetter || $0.isNumber || $0 == "-" ? $0 : "-" })
    }

    // MARK: - Writing

    /// Appends a line for each and syncs once; either all of them are in the file afterwards, or none is torn.
    func append(_ alerts: [Alert]) throws(AlertError) {
        var data = Data()
        do {
            for alert in alerts { data += try alert.line() }
        } catch {
            throw AlertError(.file, "an alert cannot be encoded")
        }
        let outcome: Result<Void, AlertError> = state.withLockedValue { state in
            do throws(AlertError) {
                try ready(&state, for: data.count)
                try write(data, &state)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }

    private func write(_ data: Data, _ state: inout State) throws(AlertError) {
        var written = 0
        while written < data.count {
            let count = data.withUnsafeBytes { bytes in
                #if canImport(Glibc)
                Glibc.write(state.descriptor, bytes.baseAddress.map { $0 + written }, data.count - written)
                #else
                Darwin.write(state.descriptor, bytes.baseAddress.map { $0 + written }, data.count - written)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let error = Self.failure("cannot write \(state.path)")
                _ = ftruncate(state.descriptor, off_t(state.size))
                throw error
            }
            written += count
        }
        guard fsync(state.descriptor) == 0 else {
            let error = Self.failure("cannot sync \(state.path)")
            // What a failed sync has left is not known: the file is opened afresh, and a line that is there twice is
            // read once.
            close(state.descriptor)
            state.descriptor = -1
            throw error
        }
        state.size += data.count
    }

    /// Opens the file when it is not open, was moved away, or is full.
    private func ready(_ state: inout State, for bytes: Int) throws(AlertError) {
        if state.descriptor >= 0, !Self.isSame(state.descriptor, state.path) {
            close(state.descriptor)
            state.descriptor = -1
        }
        if state.descriptor < 0 { try openFile(&state) }
        guard state.size > 0, state.size + bytes > byteLimit else { return }
        close(state.descriptor)
        state.descriptor = -1
        rotate(&state)
        try openFile(&state)
    }

    private func openFile(_ state: inout State) throws(AlertError) {
        let folder = URL(filePath: state.path).deletingLastPathComponent()
        // A folder that cannot be made is reported by `open`.
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let descriptor = open(state.path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw Self.failure("cannot open \(state.path)") }
        state.descriptor = descriptor
        state.size = Self.repair(descriptor)
        Self.syncFolder(of: state.path)
    }

    /// Cuts off a last line without its line feed, which a crash in the middle of a write leaves; gives the size then.
    private static func repair(_ descriptor: Int32) -> Int {
        let size = max(0, Int(lseek(descriptor, 0, SEEK_END)))
        var end = size
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while end > 0 {
            let start = max(0, end - chunk.count)
            let count = pread(descriptor, &chunk, end - start, off_t(start))
            guard count > 0 else { return size }
            if let index = chunk[..<count].lastIndex(of: UInt8(ascii: "\n")) {
                end = start + index + 1
                break
            }
            end = start
        }
        if end < size { _ = ftruncate(descriptor, off_t(end)) }
        return end
    }

    private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
        var (own, there) = (stat(), stat())
        return fstat(descriptor, &own) == 0 && stat(path, &there) == 0 && own.st_ino == there.st_ino
            && own.st_dev == there.st_dev
    }

    private func rotate(_ state: inout State) {
        let path = state.path
        let last = "\(path).\(files)"
        if let oldest = state.cursors.values.min(), let data = FileManager.default.contents(atPath: last),
            let newest = Self.records(in: data).records.last?.sequence, newest > oldest
        {
            facts.withLockedValue { $0.removedUndelivered += 1 }
        }
        unlink(last)
        for index in stride(from: files - 1, through: 1, by: -1) { rename("\(path).\(index)", "\(path).\(index + 1)") }
        rename(path, "\(path).1")
        Self.syncFolder(of: path)
    }

    // MARK: - Cursors

    static func cursorPath(_ path: String, _ sink: String) -> String { "\(path).\(sink).cursor" }

    /// Replaces a cursor as a whole: a crash leaves the old one or the new one.
    func save(_ cursor: SinkCursor, of sink: String) throws(AlertError) {
        let name = Self.cursorPath(path, sink)
        guard let data = try? AlertJSON.encoder.encode(cursor) else {
            throw AlertError(.file, "a cursor cannot be encoded")
        }
        let descriptor = open("\(name).new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw Self.failure("cannot open \(name)") }
        defer { close(descriptor) }
        let count = data.withUnsafeBytes { bytes in
            #if canImport(Glibc)
            Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            #else
            Darwin.write(descriptor, bytes.baseAddress, bytes.count)
            #endif
        }
        guard count == data.count, fsync(descriptor) == 0 else { throw Self.failure("cannot write \(name)") }
        guard rename("\(name).new", name) == 0 else { throw Self.failure("cannot replace \(name)") }
        Self.syncFolder(of: name)
        state.withLockedValue { $0.cursors[sink] = cursor.sequence }
    }

    private static func syncFolder(of path: String) {
        let folder = open(URL(filePath: path).deletingLastPathComponent().path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return }
        fsync(folder)
        close(folder)
    }

    private static func failure(_ what: String) -> AlertError {
        let number = errno
        let isFull = number == ENOSPC || number == EDQUOT
        return AlertError(isFull ? .diskFull : .file, "\(what): \(String(cString: strerror(number)))")
    }
}
