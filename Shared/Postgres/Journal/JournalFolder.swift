import Glibc
import NIOConcurrencyHelpers

/// The journal's files: appended to at one end, read and removed at the other.
///
/// Every call blocks on the disk: make it on a thread that may. One process has the folder, by the lock of a file in
/// it. A file's name is its number, and files are read in this order; each life of a process begins a new stream and
/// a new file.
final class JournalFolder: Sendable {
    /// The calls that fail when a disk does, so that a test can let them.
    struct Disk: Sendable {
        var write: @Sendable (Int32, UnsafeRawBufferPointer) -> Int = { Glibc.write($0, $1.baseAddress, $1.count) }
        var sync: @Sendable (Int32) -> Int32 = { fdatasync($0) }
    }

    struct Contents: Hashable, Sendable {
        var records = 0
        var bytes = 0
        /// What was found when the folder was opened.
        var tornBytes = 0
        var damaged = 0
    }

    /// Records of one stream, in order.
    struct Chunk: Sendable {
        let stream: String
        let records: [JournalRecord]
        fileprivate let file: Int
        fileprivate let end: Int
    }

    private struct File {
        let number: Int
        let stream: String
        /// Up to where it is sound and synced.
        var length: Int
        /// Up to where it is stored.
        var offset: Int
        var records: Int
    }

    private struct State {
        var files: [File] = []
        /// The last file, when it is being appended to.
        var writer: Int32?
        var nextNumber = 1
        var contents = Contents()
        var isClosed = false
    }

    /// Of this life of the process.
    let stream: String
    private let path: String
    private let segmentBytes: Int
    private let disk: Disk
    private let lock: Int32
    private let state = NIOLockedValueBox(State())

    /// Opens the folder, makes it when it is missing, and cuts off what a crash has left unfinished.
    init(path: String, stream: String, segmentBytes: Int, disk: Disk = Disk()) throws(JournalError) {
        self.path = path
        self.stream = stream
        self.segmentBytes = segmentBytes
        self.disk = disk
        try Self.makeFolder(path)
        lock = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard lock >= 0 else { throw Self.failure("cannot open \(path)/lock") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            Glibc.close(lock)
            throw JournalError(code: .locked, message: "\(path) is used by another process")
        }
        do {
            let numbers = try Self.numbers(path)
            var found = State()
            found.nextNumber = (numbers.last ?? 0) + 1
            for number in numbers { try Self.recover(path, number, &found) }
            let recovered = found
            state.withLockedValue { $0 = recovered }
        } catch {
            Glibc.close(lock)
            throw error
        }
    }

    deinit { close() }

    var contents: Contents { state.withLockedValue { $0.contents } }

    /// The streams of which something waits.
    var streams: Set<String> { state.withLockedValue { Set($0.files.map(\.stream)) } }

    /// Gives the folder back.
    func close() {
        state.withLockedValue { state in
            guard !state.isClosed else { return }
            state.isClosed = true
            if let writer = state.writer { Glibc.close(writer) }
            state.writer = nil
            Glibc.close(lock)
        }
    }

    // MARK: Writing

    /// Appends and syncs all of them, or leaves none.
    func append(_ frames: [[UInt8]]) throws(JournalError) {
        guard !frames.isEmpty else { return }
        let outcome = state.withLockedValue { state -> JournalError? in
            do throws(JournalError) {
                guard !state.isClosed else { throw JournalError(code: .closed, message: path) }
                if state.writer == nil { try begin(&state) }
                guard let writer = state.writer, let last = state.files.indices.last else { return nil }
                let bytes = frames.flatMap { $0 }
                do throws(JournalError) {
                    try write(bytes, to: writer)
                } catch {
                    cut(&state, writer, last)
                    throw error
                }
                state.files[last].length += bytes.count
                state.files[last].records += frames.count
                state.contents.records += frames.count
                state.contents.bytes += bytes.count
                if state.files[last].length >= segmentBytes { finish(&state) }
                return nil
            } catch {
                return error
            }
        }
        if let outcome { throw outcome }
    }

    private func begin(_ state: inout State) throws(JournalError) {
        let number = state.nextNumber
        let name = Self.name(path, number)
        let descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw Self.failure("cannot create \(name)") }
        do throws(JournalError) {
            try write(JournalFormat.header(stream: stream), to: descriptor)
            try Self.sync(folder: path)
        } catch {
            Glibc.close(descriptor)
            unlink(name)
            throw error
        }
        state.nextNumber += 1
        state.writer = descriptor
        let length = JournalFormat.headerLength
        state.files.append(File(number: number, stream: stream, length: length, offset: length, records: 0))
    }

    /// Writes a block into a file of its own, syncs and removes it; throws what a row would be told.
    func probe() throws(JournalError) {
        let name = "\(path)/probe"
        let descriptor = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw Self.failure("cannot create \(name)") }
        defer {
            Glibc.close(descriptor)
            unlink(name)
        }
        try write([UInt8](repeating: 0, count: 4_096), to: descriptor)
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32) throws(JournalError) {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { disk.write(descriptor, $0) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("cannot write to \(path)") }
            done += count
        }
        guard disk.sync(descriptor) == 0 else { throw Self.failure("cannot sync \(path)") }
    }

    /// Takes back what was written in part; a file that cannot be mended is not written to again.
    private func cut(_ state: inout State, _ writer: Int32, _ last: Int) {
        guard ftruncate(writer, state.files[last].length) != 0 || fdatasync(writer) != 0 else { return }
        finish(&state)
    }

    private func finish(_ state: inout State) {
        if let writer = state.writer { Glibc.close(writer) }
        state.writer = nil
    }

    // MARK: Reading

    /// The oldest records that are not stored; nil when there are none.
    func next(_ limit: Int) throws(JournalError) -> Chunk? {
        while let file = state.withLockedValue({ $0.files.first }) {
            let bytes = try Self.read(Self.name(path, file.number), from: file.offset, to: file.length)
            var records: [JournalRecord] = []
            var end = 0
            reading: while records.count < limit {
                switch JournalFormat.step(bytes, at: end) {
                case .record(let record, let next):
                    records.append(record)
                    end = next
                case .damaged(let next): end = next
                case .end: break reading
                }
            }
            if !records.isEmpty {
                return Chunk(stream: file.stream, records: records, file: file.number, end: file.offset + end)
            }
            if !removeFirst(upTo: file.length, number: file.number) { return nil }
        }
        return nil
    }

    /// Forgets what is stored; a file of which nothing is left is removed.
    func advance(past chunk: Chunk) {
        let isDone = state.withLockedValue { state -> Bool in
            guard let first = state.files.first, first.number == chunk.file, chunk.end > first.offset else {
                return false
            }
            state.contents.records -= chunk.records.count
            state.contents.bytes -= chunk.end - first.offset
            state.files[0].records -= chunk.records.count
            state.files[0].offset = chunk.end
            return chunk.end == first.length
        }
        if isDone { _ = removeFirst(upTo: chunk.end, number: chunk.file) }
    }

    /// Removes the first file unless something was appended behind `length`; one that cannot be removed is known again
    /// by the database's position.
    private func removeFirst(upTo length: Int, number: Int) -> Bool {
        state.withLockedValue { state in
            guard let first = state.files.first, first.number == number, first.length == length else { return false }
            if state.files.count == 1 { finish(&state) }
            state.files.removeFirst()
            state.contents.records -= first.records
            state.contents.bytes -= first.length - first.offset
            unlink(Self.name(path, number))
            return true
        }
    }

    // MARK: Files

    private static func recover(_ path: String, _ number: Int, _ state: inout State) throws(JournalError) {
        let name = name(path, number)
        let bytes = try read(name, from: 0, to: nil)
        guard let stream = JournalFormat.stream(bytes) else {
            // Killed while it was made: no record can be in it.
            state.contents.tornBytes += bytes.count
            unlink(name)
            return
        }
        var file = File(
            number: number, stream: stream, length: JournalFormat.headerLength, offset: JournalFormat.headerLength,
            records: 0)
        reading: while true {
            switch JournalFormat.step(bytes, at: file.length) {
            case .record(_, let end):
                file.length = end
                file.records += 1
            case .damaged(let end):
                file.length = end
                state.contents.damaged += 1
            case .end: break reading
            }
        }
        if file.length < bytes.count {
            state.contents.tornBytes += bytes.count - file.length
            guard truncate(name, file.length) == 0 else { throw failure("cannot cut \(name)") }
        }
        guard file.records > 0 else {
            unlink(name)
            return
        }
        state.contents.records += file.records
        state.contents.bytes += file.length - file.offset
        state.files.append(file)
    }

    private static func name(_ path: String, _ number: Int) -> String {
        let digits = String(number)
        return "\(path)/\(String(repeating: "0", count: max(0, 10 - digits.count)))\(digits).journal"
    }

    private static func numbers(_ path: String) throws(JournalError) -> [Int] {
        guard let folder = opendir(path) else { throw failure("cannot list \(path)") }
        defer { closedir(folder) }
        var numbers: [Int] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".journal"), let number = Int(name.dropLast(8)) { numbers.append(number) }
        }
        return numbers.sorted()
    }

    private static func makeFolder(_ path: String) throws(JournalError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/\(part)"
            guard mkdir(made, 0o750) == 0 || errno == EEXIST else { throw failure("cannot create \(made)") }
        }
    }

    /// A new file is lost with its folder's entry.
    private static func sync(folder: String) throws(JournalError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open \(folder)") }
        defer { Glibc.close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("cannot sync \(folder)") }
    }

    private static func read(_ name: String, from start: Int, to end: Int?) throws(JournalError) -> [UInt8] {
        let descriptor = open(name, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open \(name)") }
        defer { Glibc.close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let wanted = min(part.count, end.map { $0 - start - bytes.count } ?? part.count)
            if wanted <= 0 { return bytes }
            let count = part.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, wanted, start + bytes.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("cannot read \(name)") }
            if count == 0 { return bytes }
            bytes += part[0..<count]
        }
    }

    private static func failure(_ what: String) -> JournalError {
        let number = errno
        let code: JournalError.Code = number == ENOSPC || number == EDQUOT ? .diskFull : .file
        return JournalError(code: code, message: "\(what): \(String(cString: strerror(number)))")
    }
}
