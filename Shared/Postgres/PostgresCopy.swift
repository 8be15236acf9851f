/// COPY, for many rows at once: faster than `unnest`, and stricter about types.
extension PostgresTransaction {
    /// Writes rows by COPY: `encode` appends one value per column to the row that it is lent.
    ///
    /// What does not fit its column fails the COPY with the row and the column, before or by the server; then nothing
    /// of the transaction can be committed. The time-out is of the whole; nil stands for what is left of the
    /// transaction's. The result is the number of rows.
    @discardableResult
    public nonisolated(nonsending) func copy<Rows: Sequence>(
        into table: String, columns: [String], _ rows: Rows, timeout: Duration? = nil,
        _ encode: (Rows.Element, inout CopyRow) throws -> Void
    ) async throws -> Int {
        let name = "\(name): COPY \(table)"
        let (relation, found) = try await copyColumns(columns, of: table, name)
        let names = columns.map(Self.quoted).joined(separator: ", ")
        return try await copying("COPY \(relation) (\(names)) FROM STDIN (FORMAT binary)", name, timeout) { step in
            var row = CopyRow(found)
            for element in rows {
                row.begin()
                try encode(element, &row)
                row.end()
                if var problem = row.problem {
                    problem.context = name
                    throw problem
                }
                if row.isFull { try await step.send(row.take()) }
            }
            try await step.send(row.takeLast())
            return try await step.end()
        }
    }

    /// Reads what a query gives as CSV with a header, piece by piece, without holding the whole.
    ///
    /// `query` is trusted text without values: COPY takes none. `take` is given whole lines in order. The time-out is
    /// of the whole; nil stands for what is left of the transaction's.
    public nonisolated(nonsending) func copy(
        from query: String, timeout: Duration? = nil, _ take: ([UInt8]) async throws -> Void
    ) async throws {
        let name = "\(name): COPY"
        _ = try await batch([], timeout: nil)
        let command = "COPY (\(query)) TO STDOUT (FORMAT csv, HEADER)"
        try await copying(command, name, timeout, isOutgoing: true) { step in
            while true {
                let (lines, isLast) = try await step.receive()
                if !lines.isEmpty { try await take(lines) }
                if isLast { return }
            }
        }
    }

    /// What a COPY can do with its session.
    fileprivate struct CopyStep {
        let connection: Connection
        let name: String
        let deadline: LoopInstant

        func send(_ bytes: [UInt8]) async throws {
            try await connection.sendCopy(bytes, name: name, until: deadline)
        }
        func end() async throws -> Int { try await connection.endCopy(name: name, until: deadline) }
        func receive() async throws -> (lines: [UInt8], isLast: Bool) {
            try await connection.receiveCopy(name: name, until: deadline)
        }
    }

    private nonisolated(nonsending) func copying<R>(
        _ command: String, _ name: String, _ timeout: Duration?, isOutgoing: Bool = false,
        _ body: nonisolated(nonsending) (CopyStep) async throws -> R
    ) async throws -> R {
        let (connection, deadline) = try await copySession(name, timeout)
        let wait = LoopWait()
        let step = CopyStep(connection: connection, name: name, deadline: deadline)
        return try await withTaskCancellationHandler {
            do {
                try await connection.startCopy(
                    command, wait, isOutgoing: isOutgoing, name: name, until: deadline)
                let value = try await body(step)
                await connection.finishCopy()
                return value
            } catch {
                await connection.abandonCopy()
                await copyFailed(error)
                throw error
            }
        } onCancel: {
            LoopExecutor.shared.execute { wait.cancel() }
        }
    }

    /// The table's name as SQL wants it, and the types of the columns; begins the transaction as well.
    private nonisolated(nonsending) func copyColumns(
        _ columns: [String], of table: String, _ context: String
    ) async throws -> (relation: String, columns: [CopyRow.Column]) {
        let rows = try await query(
            """
            SELECT c.oid::regclass::text AS relation, a.attname::text AS name,
                (CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'e' THEN 25 ELSE t.oid END)::int8 AS type
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
            WHERE c.oid = \(table)::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
            """)
        var types: [String: UInt32] = [:]
        for row in rows { types[try row.text("name")] = UInt32(truncatingIfNeeded: try row.int64("type")) }
        let found = try columns.map { name in
            guard let type = types[name] else {
                let known = types.keys.sorted().joined(separator: ", ")
                throw PostgresError(.encoding, "no column \"\(name)\" in \(table) (\(known))", context: context)
            }
            return CopyRow.Column(name: name, type: type)
        }
        return (try rows.first?.text("relation") ?? table, found)
    }

    private static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
}

extension PostgresPool {
    /// As `PostgresTransaction.copy(into:columns:)`, in a transaction of its own.
    @discardableResult
    public nonisolated(nonsending) func copy<Rows: Sequence>(
        into table: String, columns: [String], _ rows: Rows, timeout: Duration? = nil,
        _ encode: (Rows.Element, inout CopyRow) throws -> Void
    ) async throws -> Int {
        try await transaction("copy into \(table)", timeout: timeout) { transaction in
            try await transaction.copy(into: table, columns: columns, rows, encode)
        }
    }
}
