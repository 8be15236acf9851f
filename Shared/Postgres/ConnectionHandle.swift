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
        // Of a COPY, the server says elsewhere which line and column it was.
        let place = field("W").flatMap { $0.hasPrefix("COPY ") ? $0 : nil }
        detail = [field("D"), place].compactMap { $0 }.joined(separator: "; ")
        if detail == "" { detail = nil }
        constraint = field("n")
    }
}
