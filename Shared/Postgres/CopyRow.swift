/// The rows of a COPY in the server's binary form, filled value by value in the order of the columns.
///
/// A value has the column's type already: the server converts nothing here. A `uuid`, a `date` (`2026-11-21`) and a
/// `numeric` (`-12.50`, or a whole number) are given as text. The first that does not fit is kept as the
/// COPY's error, with the row and the column.
public struct CopyRow: ~Copyable {
    struct Column: Sendable {
        let name: String
        /// The type's object identifier; of a domain, the one below it.
        let type: UInt32
    }

    /// Bytes gathered before they are sent.
    static let chunk = 131_072

    private let columns: [Column]
    private let types: [UInt32]
    private var bytes = Bytes(capacity: CopyRow.chunk + CopyRow.chunk / 4)
    private var position = 0
    private var row = 0
    private(set) var problem: PostgresError?

    init(_ columns: [Column]) {
        self.columns = columns
        types = columns.map(\.type)
        bytes.append("PGCOPY\n")
        bytes.append(bigEndian: 0xFF0D_0A00 as UInt32)
        // No flags, no extension of the header.
        bytes.append(bigEndian: Int64(0))
    }

    public mutating func append(_ value: some PostgresEncodable) { append(value.postgresValue) }

    public mutating func append(_ value: Int64) {
        guard position < types.count else { return count(of: position + 1) }
        guard types[position] == ObjectID.int8 else { return append(value.postgresValue) }
        position += 1
        bytes.append(length: 8, value)
    }

    public mutating func append(_ value: Int) { append(Int64(value)) }

    public mutating func append(_ value: Int32) {
        guard position < types.count else { return count(of: position + 1) }
        guard types[position] == ObjectID.int4 else { return append(value.postgresValue) }
        position += 1
        bytes.append(length: 4, value)
    }

    public mutating func append(_ value: String) {
        guard position < types.count else { return count(of: position + 1) }
        let isText = types[position] == ObjectID.text || types[position] == ObjectID.varchar
        guard isText, !value.holdsNUL else { return append(value.postgresValue) }
        position += 1
        bytes.append(bigEndian: Int32(value.utf8.count))
        bytes.append(value)
    }

    // MARK: Driven by the COPY

    var isFull: Bool { bytes.count >= Self.chunk }

    mutating func begin() {
        row += 1
        position = 0
        bytes.append(bigEndian: Int16(truncatingIfNeeded: columns.count))
    }

    mutating func end() {
        if position != columns.count { count(of: position) }
    }

    /// What has been gathered.
    mutating func take() -> [UInt8] {
        defer { bytes.removeAll() }
        return bytes.array
    }

    /// What has been gathered, and the mark of the end.
    mutating func takeLast() -> [UInt8] {
        bytes.append(bigEndian: Int16(-1))
        return take()
    }

    private mutating func count(of values: Int) {
        if problem != nil { return }
        let found = values > columns.count ? "more than" : "only \(values) of"
        problem = PostgresError(.encoding, "row \(row) has \(found) \(columns.count) values", context: "COPY")
    }

    private mutating func append(_ value: PostgresValue) {
        guard position < columns.count else { return count(of: position + 1) }
        let type = columns[position].type
        if let reason = Self.problem(value, as: type) {
            if problem == nil {
                let place = "row \(row), column \"\(columns[position].name)\" (\(ObjectID.name(type)))"
                problem = PostgresError(.encoding, "\(place): \(reason)", context: "COPY")
            }
            return position += 1
        }
        position += 1
        if BinaryForm.types.contains(type), let binary = Self.binary(value, as: type) {
            bytes.append(bigEndian: Int32(binary.count))
            return binary.withUnsafeBytes { bytes.append($0) }
        }
        if case (.real(let number), ObjectID.float4) = (value.content, type) {
            return bytes.append(length: 4, Float(number).bitPattern)
        }
        value.append(to: &bytes, as: type)
    }

    /// A text, or a whole number, in the form of a type that is given as text.
    private static func binary(_ value: PostgresValue, as type: UInt32) -> [UInt8]? {
        switch (value.content, type) {
        case (.text(let text), _): BinaryForm.bytes(text, as: type)
        case (.integer(let number), ObjectID.numeric): BinaryForm.bytes("\(number)", as: type)
        default: nil
        }
    }

    /// Why the value cannot stand in a column of this type.
    private static func problem(_ value: PostgresValue, as type: UInt32) -> String? {
        switch (value.content, type) {
        case (.unusable(let problem), _): problem
        case (.integer(let number), ObjectID.int4) where Int32(exactly: number) == nil,
            (.integer(let number), ObjectID.int2) where Int16(exactly: number) == nil:
            "\(number) is too large for the type"
        case (.null, _), (.integer, ObjectID.int8), (.integer, ObjectID.int4), (.integer, ObjectID.int2),
            (.real, ObjectID.float8), (.real, ObjectID.float4), (.bool, ObjectID.bool),
            (.timestamp, ObjectID.timestamptz):
            nil
        case (.text, _) where BinaryForm.types.contains(type), (.integer, ObjectID.numeric):
            binary(value, as: type) == nil ? "the text is no \(ObjectID.name(type))" : nil
        case (.text, _) where ObjectID.texts.contains(type), (.binary, _) where value.type == type:
            nil
        default:
            "COPY does not convert \(value.kind); give the column's own type, or use INSERT with unnest"
        }
    }
}

extension PostgresValue {
    /// As errors call it; never the value itself.
    fileprivate var kind: String {
        switch content {
        case .null, .unusable: "nothing"
        case .integer: "a whole number"
        case .real: "a number"
        case .bool: "a boolean"
        case .timestamp: "a timestamp"
        case .text: "text"
        case .binary: ObjectID.name(type)
        }
    }
}
