/// A value bound to `$n`, or put into an array or a COPY.
public struct PostgresValue: Hashable, Sendable {
    enum Content: Hashable, Sendable {
        case null
        case integer(Int64)
        case real(Double)
        case bool(Bool)
        /// Microseconds since 1970.
        case timestamp(Int64)
        case text(String)
        /// The type's own binary form.
        case binary([UInt8])
        /// It cannot be sent; the statement fails with this message before anything is sent.
        case unusable(String)
    }

    let content: Content
    /// The type's object identifier; `inferred` lets the server infer it from where the value stands.
    let type: UInt32

    init(_ content: Content, type: UInt32) {
        self.content = content
        self.type = type
    }
}

/// Object identifiers of the built-in types.
enum ObjectID {
    static let inferred: UInt32 = 0
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let json: UInt32 = 114
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let varchar: UInt32 = 1043
    static let date: UInt32 = 1082
    static let timestamp: UInt32 = 1114
    static let timestamptz: UInt32 = 1184
    static let numeric: UInt32 = 1700
    static let uuid: UInt32 = 2950
    static let jsonb: UInt32 = 3802

    /// The array type of an element's type.
    static let arrays: [UInt32: UInt32] = [
        bool: 1000, bytea: 1001, int2: 1005, int4: 1007, text: 1009, int8: 1016, float8: 1022, timestamptz: 1185,
        jsonb: 3807,
    ]

    /// Bytes of a whole number's binary form.
    static func size(ofInteger type: UInt32) -> Int { type == int4 ? 4 : type == int2 ? 2 : 8 }

    /// Types whose binary form is their text; `jsonb` puts a version before it.
    static let texts: Set<UInt32> = [text, varchar, 1042, json, jsonb]

    /// The name that SQL gives a type; `type 4711` when it is none of the usual.
    static func name(_ type: UInt32) -> String {
        if let name = names[type] { return name }
        if let (element, _) = arrays.first(where: { $0.value == type }) { return "\(name(element))[]" }
        return "type \(type)"
    }

    private static let names: [UInt32: String] = [
        bool: "boolean", bytea: "bytea", int8: "bigint", int2: "smallint", int4: "integer", text: "text",
        json: "json", float4: "real", float8: "double precision", 1042: "char", varchar: "varchar", date: "date",
        1083: "time", timestamp: "timestamp", timestamptz: "timestamptz", 1186: "interval", numeric: "numeric",
        uuid: "uuid", jsonb: "jsonb", 2278: "void",
    ]
}

extension PostgresValue {
    /// An array of one dimension in the server's binary form.
    static func array(_ elements: some Sequence<PostgresValue>, of type: UInt32) -> PostgresValue {
        let element = type == ObjectID.inferred ? ObjectID.text : type
        guard let array = ObjectID.arrays[element] else {
            return PostgresValue(.unusable("arrays of \(ObjectID.name(element)) are not supported"), type: type)
        }
        var bytes = Bytes()
        var hasNull = false
        var count: Int32 = 0
        bytes.appendArrayHead(count: 0, of: element)
        for (index, value) in elements.enumerated() {
            if case .unusable(let problem) = value.content {
                return PostgresValue(.unusable("element \(index + 1): \(problem)"), type: array)
            }
            if case .null = value.content { hasNull = true }
            value.append(to: &bytes, as: element)
            count += 1
        }
        bytes.replace(at: 4, hasNull ? 1 : 0)
        bytes.replace(at: 12, count)
        // An array without elements has no dimension either.
        let value = count > 0 ? bytes.array : [0, 0, 0, 0, 0, 0, 0, 0] + bytes.array[8..<12]
        return PostgresValue(.binary(value), type: array)
    }

    /// Appends length and bytes in the binary form of `type`; what is unusable must have been refused before.
    func append(to bytes: inout Bytes, as type: UInt32) {
        switch content {
        case .null, .unusable: return bytes.append(bigEndian: Int32(-1))
        case .integer(let number):
            let size = ObjectID.size(ofInteger: type)
            bytes.append(bigEndian: Int32(size))
            bytes.append(bigEndian: number, size: size)
        case .real(let number): bytes.append(length: 8, number.bitPattern)
        case .bool(let value): bytes.append(length: 1, UInt8(value ? 1 : 0))
        case .timestamp(let micros): bytes.append(length: 8, micros &- Timestamp.epoch)
        case .text(let text):
            let isJSONB = type == ObjectID.jsonb
            bytes.append(bigEndian: Int32(text.utf8.count + (isJSONB ? 1 : 0)))
            if isJSONB { bytes.append(bigEndian: UInt8(1)) }
            bytes.append(text)
        case .binary(let value):
            bytes.append(bigEndian: Int32(value.count))
            value.withUnsafeBytes { bytes.append($0) }
        }
    }

    /// An array of whole numbers without NULL.
    static func array<Number: FixedWidthInteger & Sendable>(numbers: [Number], of type: UInt32) -> PostgresValue {
        guard let array = ObjectID.arrays[type], !numbers.isEmpty else { return .array([], of: type) }
        let size = Number.bitWidth / 8
        var bytes = Bytes(capacity: 20 + numbers.count * (4 + size))
        bytes.appendArrayHead(count: Int32(numbers.count), of: type)
        for number in numbers { bytes.append(length: Int32(size), number) }
        return PostgresValue(.binary(bytes.array), type: array)
    }

    /// An array of texts without NULL.
    static func array(texts: [String]) -> PostgresValue {
        guard let array = ObjectID.arrays[ObjectID.text], !texts.isEmpty else { return .array([], of: ObjectID.text) }
        var bytes = Bytes(capacity: 20 + texts.count * 32)
        bytes.appendArrayHead(count: Int32(texts.count), of: ObjectID.text)
        for (index, text) in texts.enumerated() {
            if text.holdsNUL {
                return PostgresValue(.unusable("element \(index + 1): text holds a NUL"), type: array)
            }
            bytes.append(bigEndian: Int32(text.utf8.count))
            bytes.append(text)
        }
        return PostgresValue(.binary(bytes.array), type: array)
    }
}

extension Bytes {
    /// Dimensions, whether there is a NULL, the elements' type, their number and where they begin.
    fileprivate mutating func appendArrayHead(count: Int32, of type: UInt32) {
        append(bigEndian: Int32(1))
        append(bigEndian: Int32(0))
        append(bigEndian: Int32(bitPattern: type))
        append(bigEndian: count)
        append(bigEndian: Int32(1))
    }
}
