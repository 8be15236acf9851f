import CLibPQ

/// libpq's connection.
///
/// Invariant of the unchecked conformance: used by one thread at a time: the thread that starts it, then the loop.
struct ConnectionHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// libpq's last message on one line.
    var message: String {
        guard let text = PQerrorMessage(pointer) else { return "no message" }
        return String(cString: text).split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}

/// A cancel request for what runs on a connection.
///
/// Invariant of the unchecked conformance: immutable; libpq allows sending it from any thread.
final class CancelRequest: @unchecked Sendable {
    private let pointer: OpaquePointer

    init?(_ handle: ConnectionHandle) {
        guard let pointer = PQgetCancel(handle.pointer) else { return nil }
        self.pointer = pointer
    }

    deinit { PQfreeCancel(pointer) }

    /// Blocks until the server has taken it.
    func send() {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(pointer, &message, Int32(message.count))
    }
}

/// What the server, or libpq for it, said about a failed statement.
struct ServerFailure {
    var sqlState: String?
    var message: String
    var detail: String?
    var constraint: String?

    init(message: String) { self.message = message }

    init(_ result: OpaquePointer) {
        func field(_ code: Character) -> String? {
            PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) }
        }
        sqlState = field("C")
        message = field("M") ?? PQresultErrorMessage(result).map { String(cString: $0) } ?? "no message"
        message = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        detail = field("D")
        constraint = field("n")
    }
}

/// Bound values in the shape libpq takes them.
struct Parameters {
    let types: [UInt32]
    private var storage: [UInt8] = []
    private var offsets: [Int?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []

    init(_ values: [PostgresValue], context: String) throws(PostgresError) {
        types = values.map(\.type)
        for (index, value) in values.enumerated() {
            switch value.content {
            case .null:
                append(nil, format: 0)
            case .text(let text):
                append(Array(text.utf8), format: 0)
            case .binary(let bytes):
                append(bytes, format: 1)
            case .unusable(let problem):
                throw PostgresError(.encoding, "$\(index + 1): \(problem)", context: context)
            }
        }
    }

    private mutating func append(_ bytes: [UInt8]?, format: Int32) {
        offsets.append(bytes == nil ? nil : storage.count)
        lengths.append(Int32(bytes?.count ?? 0))
        formats.append(format)
        storage.append(contentsOf: bytes ?? [])
        storage.append(0)
    }

    func withPointers<R>(
        _ body: (
            Int32, UnsafePointer<UInt32>?, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?,
            UnsafePointer<Int32>?
        ) -> R
    ) -> R {
        storage.withUnsafeBytes { bytes in
            let values = offsets.map { offset in
                offset.flatMap { bytes.baseAddress?.advanced(by: $0).assumingMemoryBound(to: CChar.self) }
            }
            return body(Int32(offsets.count), types, values, lengths, formats)
        }
    }
}
