import CLibPQ
import Glibc

/// What one statement answered.
enum StatementResult: Sendable {
    /// A command without rows, and how many it inserted, changed or deleted; most are this, and it costs no object.
    case changed(Int)
    case full(ResultSet)

    var rows: [Row] {
        switch self {
        case .changed: []
        case .full(let result): result.rows
        }
    }

    /// Rows the statement inserted, changed, deleted or selected.
    var affected: Int {
        switch self {
        case .changed(let count): count
        case .full(let result): result.affected
        }
    }
}

/// One statement's result, freed with its last row.
///
/// Invariant of the unchecked conformance: a `PGresult` is never written after libpq has handed it out, and the
/// functions used here only read it.
final class ResultSet: @unchecked Sendable {
    private let result: OpaquePointer

    /// Takes the result over.
    init(_ result: OpaquePointer) { self.result = result }

    deinit { PQclear(result) }

    var count: Int { Int(PQntuples(result)) }

    var rows: [Row] { (0..<count).map { Row(result: self, index: $0) } }

    var columns: [String] {
        (0..<PQnfields(result)).map { PQfname(result, $0).map { String(cString: $0) } ?? "" }
    }

    /// Rows the statement inserted, changed, deleted or selected.
    var affected: Int { Self.affected(result) }

    static func affected(_ result: OpaquePointer) -> Int { PQcmdTuples(result).map { atol($0) } ?? 0 }

    /// What the server says it did: `COMMIT`, `INSERT 0 1`.
    var commandTag: String { PQcmdStatus(result).map { String(cString: $0) } ?? "" }

    /// The column's number, exactly by that name; the first when there are several.
    func position(of column: String) -> Int32? {
        column.withCString { name in
            (0..<PQnfields(result)).first { PQfname(result, $0).map { strcmp($0, name) == 0 } ?? false }
        }
    }

    /// The type's object identifier.
    func type(of column: Int32) -> UInt32 { PQftype(result, column) }

    /// The value's text; nil for NULL.
    func value(row: Int, column: Int32) -> UnsafeBufferPointer<UInt8>? {
        guard PQgetisnull(result, Int32(row), column) == 0, let start = PQgetvalue(result, Int32(row), column)
        else { return nil }
        let length = Int(PQgetlength(result, Int32(row), column))
        return UnsafeRawBufferPointer(start: start, count: length).assumingMemoryBound(to: UInt8.self)
    }
}
