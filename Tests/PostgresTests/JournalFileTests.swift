import Foundation
import Glibc
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// The journal's bytes and files, without a database.
@Suite struct JournalFileTests {
    private static let stream = "00000000-0000-4000-8000-000000000001"

    private func frames(_ numbers: ClosedRange<Int64>, padding: Int = 0) throws -> [[UInt8]] {
        try numbers.map { number in
            let payload = "{\"n\": \(number)}" + String(repeating: "x", count: padding)
            let record = JournalRecord(sequence: number, write: DeferredWrite(kind: "test", payload: payload))
            return try #require(JournalFormat.encode(record))
        }
    }

    private func withFolder(_ body: (String) throws -> Void) throws {
        let temporary = try TemporaryDirectory("journal")
        defer { temporary.remove() }
        try body("\(temporary.path)/deep/journal")
    }

    private func open(
        _ path: String, segmentBytes: Int = 1 << 20, disk: JournalFolder.Disk = JournalFolder.Disk()
    ) throws -> JournalFolder {
        try JournalFolder(path: path, stream: Self.stream, segmentBytes: segmentBytes, disk: disk)
    }

    private func files(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".journal") }.sorted()
    }

    /// Everything that waits, in order.
    private func drain(_ folder: JournalFolder, limit: Int = 3) throws -> [Int64] {
        var found: [Int64] = []
        while let chunk = try folder.next(limit) {
            found += chunk.records.map(\.sequence)
            folder.advance(past: chunk)
        }
        return found
    }

    @Test func `the checksum is CRC-32C`() {
        #expect(JournalFormat.crc(Array("123456789".utf8)[...]) == 0xE306_9283)
    }

    @Test func `a record comes back as it was written`() throws {
        let write = DeferredWrite(kind: "tick", payload: "{\"t\": \"ä\u{0}€\"}")
        let record = JournalRecord(sequence: .max, write: write)
        let bytes = try #require(JournalFormat.encode(record))
        #expect(JournalFormat.step(bytes, at: 0) == .record(record, end: bytes.count))
        #expect(JournalFormat.step(bytes, at: bytes.count) == .end)
        let long = DeferredWrite(kind: "", payload: String(repeating: "x", count: JournalFormat.bodyLimit))
        #expect(JournalFormat.encode(JournalRecord(sequence: 1, write: long)) == nil)
    }

    @Test func `records come out in order, files go when they are read, and what is left survives a restart`() throws {
        try withFolder { path in
            let folder = try open(path, segmentBytes: 200)
            for start in stride(from: Int64(1), to: 20, by: 2) { try folder.append(frames(start...start + 1)) }
            #expect(folder.contents.records == 20)
            let many = try files(path).count
            #expect(many >= 4)
            for _ in 0..<4 {
                let chunk = try #require(try folder.next(2))
                folder.advance(past: chunk)
            }
            folder.close()
            let again = try open(path)
            try again.append(frames(21...22))
            // What was read before stands in the database, not here: the first file that is left is read again.
            let found = try drain(again)
            #expect(found.suffix(14) == Array(9...22) && found == found.sorted())
            #expect(again.contents == JournalFolder.Contents())
            let left = try files(path)
            #expect(left.isEmpty)
        }
    }

    @Test func `a write cut off at any byte is found, cut and never read`() throws {
        let header = JournalFormat.header(stream: Self.stream)
        let records = try frames(1...3)
        let whole = header + records.flatMap { $0 }
        let ends = records.indices.map { header.count + records[0...$0].reduce(0) { $0 + $1.count } }
        for length in 0..<whole.count {
            try withFolder { path in
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
                let file = "\(path)/0000000001.journal"
                try Data(whole[0..<length]).write(to: URL(filePath: file))
                let folder = try open(path)
                let sound = ends.filter { $0 <= length }.count
                #expect(folder.contents.records == sound, "cut at \(length)")
                let kept = sound == 0 ? 0 : ends[sound - 1]
                let torn = sound == 0 && length >= header.count ? length - header.count : length - kept
                #expect(folder.contents.tornBytes == torn, "cut at \(length)")
                // Younger rows follow the sound ones.
                try folder.append(frames(10...11))
                let found = try drain(folder)
                #expect(found == Array(1...3).prefix(sound).map { Int64($0) } + [10, 11], "cut at \(length)")
            }
        }
    }

    @Test func `a changed byte anywhere gives no row that was not written, and costs one at most`() throws {
        let header = JournalFormat.header(stream: Self.stream)
        let records = try frames(1...4)
        let whole = header + records.flatMap { $0 }
        for index in header.count..<whole.count - records[3].count {
            var bytes = whole
            bytes[index] ^= 0x10
            var (offset, found, damaged) = (header.count, [JournalRecord](), 0)
            reading: while true {
                switch JournalFormat.step(bytes, at: offset) {
                case .record(let record, let end):
                    found.append(record)
                    offset = end
                case .damaged(let end):
                    damaged += 1
                    offset = end
                case .end: break reading
                }
            }
            let isLength = records.indices.contains { number in
                let start = header.count + records[0..<number].reduce(0) { $0 + $1.count }
                return (start..<start + 4).contains(index)
            }
            for record in found { #expect(record.write.payload == "{\"n\": \(record.sequence)}") }
            // A changed length leaves no way to know where the next record begins.
            if !isLength { #expect(found.count == 3 && damaged == 1, "byte \(index)") }
        }
    }

    @Test func `two processes cannot have one folder`() throws {
        try withFolder { path in
            let folder = try open(path)
            let error = #expect(throws: JournalError.self) { _ = try open(path) }
            #expect(error?.code == .locked)
            folder.close()
            _ = try open(path)
        }
    }

    @Test func `a full disk is told, leaves nothing half, and is written to again when it has room`() throws {
        let room = Room()
        var disk = JournalFolder.Disk()
        disk.write = { descriptor, bytes in
            // Part of it still fits.
            let count = min(bytes.count, room.take(bytes.count))
            guard count > 0 else {
                errno = ENOSPC
                return -1
            }
            return Glibc.write(descriptor, bytes.baseAddress, count)
        }
        let faulty = disk
        try withFolder { path in
            let folder = try open(path, disk: faulty)
            room.set(200)
            try folder.append(frames(1...2))
            for _ in 0..<3 {
                let error = #expect(throws: JournalError.self) { try folder.append(frames(3...20)) }
                #expect(error?.code == .diskFull)
                room.set(17)
            }
            #expect(folder.contents.records == 2)
            room.set(10_000)
            try folder.append(frames(3...5))
            folder.close()
            let again = try open(path)
            #expect(again.contents.records == 5 && again.contents.tornBytes == 0)
            let found = try drain(again)
            #expect(found == Array(1...5))
        }
    }

    @Test func `a failed sync keeps nothing`() throws {
        var disk = JournalFolder.Disk()
        let room = Room()
        disk.sync = { room.take(1) == 1 ? fdatasync($0) : -1 }
        let faulty = disk
        try withFolder { path in
            let folder = try open(path, disk: faulty)
            room.set(2)
            try folder.append(frames(1...1))
            let error = #expect(throws: JournalError.self) { try folder.append(frames(2...2)) }
            #expect(error?.code == .file || error?.code == .diskFull)
            room.set(100)
            try folder.append(frames(3...3))
            let found = try drain(folder)
            #expect(found == [1, 3])
        }
    }
}

/// What is left of a resource.
final class Room: Sendable {
    private let left = Attempts()
    private let used = Attempts()

    func set(_ amount: Int) { left.add(amount - (left.value - used.value)) }

    /// How much of what is asked for there is.
    func take(_ amount: Int) -> Int {
        let given = max(0, min(amount, left.value - used.value))
        used.add(given)
        return given
    }
}
