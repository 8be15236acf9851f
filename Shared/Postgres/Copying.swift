import CLibPQ

/// COPY cannot travel in a pipeline: it has the session for itself, and is told as a story.
extension Connection {
    /// Leaves pipeline mode and sends the command; `isOutgoing` when the server is the one to send.
    ///
    /// After it, and after a failure of it, comes `finishCopy` or `abandonCopy`.
    func startCopy(
        _ command: String, _ wait: LoopWait, isOutgoing: Bool, name: String, until deadline: LoopInstant
    ) async throws {
        guard isUsable else { throw PostgresError(.reconnect, "the connection was lost", context: name) }
        guard isIdle else {
            throw PostgresError(
                .permanent, "a statement of the transaction is under way; wait for it first", context: name)
        }
        copy = wait
        LoopExecutor.shared.forget(socket, self)
        guard PQexitPipelineMode(handle.pointer) == 1, PQsendQuery(handle.pointer, command) == 1 else {
            throw lostCopy(name)
        }
        try await flushCopy(name, until: deadline)
        let result = try await nextResult(name, until: deadline)
        let status = PQresultStatus(result)
        guard status == (isOutgoing ? PGRES_COPY_OUT : PGRES_COPY_IN) else { throw copyError(result, name) }
        PQclear(result)
    }

    /// Takes the next rows; what the socket has no room for yet is awaited by the next call.
    func sendCopy(_ bytes: [UInt8], name: String, until deadline: LoopInstant) async throws {
        try await flushCopy(name, until: deadline)
        let status = bytes.withUnsafeBytes { bytes in
            let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            return PQputCopyData(handle.pointer, base, Int32(bytes.count))
        }
        // It never waits: a non-blocking libpq keeps what does not fit.
        guard status == 1, PQflush(handle.pointer) >= 0 else { throw lostCopy(name) }
    }

    /// Says that this was all.
    ///
    /// - Returns: how many rows the server took.
    func endCopy(name: String, until deadline: LoopInstant) async throws -> Int {
        guard PQputCopyEnd(handle.pointer, nil) == 1 else { throw lostCopy(name) }
        try await flushCopy(name, until: deadline)
        return try await copyOutcome(name, until: deadline)
    }

    /// The next lines that the server sends, as many as are there and fit a piece.
    func receiveCopy(name: String, until deadline: LoopInstant) async throws -> (lines: [UInt8], isLast: Bool) {
        var piece: [UInt8] = []
        while piece.count < CopyRow.chunk {
            var line: UnsafeMutablePointer<CChar>?
            let count = PQgetCopyData(handle.pointer, &line, 1)
            if count > 0, let line {
                piece.append(contentsOf: UnsafeRawBufferPointer(start: line, count: Int(count)))
                PQfreemem(line)
            } else if count < -1 {
                throw lostCopy(name)
            } else if count == -1 {
                _ = try await copyOutcome(name, until: deadline)
                return (piece, true)
            } else if !piece.isEmpty {
                break
            } else {
                try await readCopy(name, until: deadline)
            }
        }
        return (piece, false)
    }

    /// Ends what was begun without wanting it any more: told politely for a second, else the session is closed.
    func abandonCopy() async {
        guard copy != nil else { return }
        // Whoever cancelled the other one does not mean this.
        copy = LoopWait()
        let deadline = LoopInstant.now.advanced(by: Self.cancelGrace)
        var request: Task<Void, Never>?
        // Refused unless the server is waiting for rows.
        if PQputCopyEnd(handle.pointer, "given up by the client") != 1 {
            request = Task { @DatabaseLoop [canceller] in await canceller.cancel(backend) }
        }
        do {
            try await flushCopy("", until: deadline)
            try await drainCopy("", until: deadline)
            // So that it cannot hit the next statement.
            await request?.value
        } catch {
            lose("a COPY was given up")
        }
        finishCopy()
    }

    /// Gives the session back to the pipeline.
    func finishCopy() {
        guard copy != nil else { return }
        copy = nil
        if isClosed { return PQfinish(handle.pointer) }
        guard isUsable else { return }
        guard PQenterPipelineMode(handle.pointer) == 1 else { return lose() }
        LoopExecutor.shared.watch(socket, for: .read, isFresh: true, self)
        sendQueued()
    }

    // MARK: Steps

    private func copyOutcome(_ name: String, until deadline: LoopInstant) async throws -> Int {
        let result = try await nextResult(name, until: deadline)
        guard PQresultStatus(result) == PGRES_COMMAND_OK else { throw copyError(result, name) }
        let answer = ResultSet(result)
        try await drainCopy(name, until: deadline)
        return answer.affected
    }

    /// Until the server is ready for the next statement.
    private func drainCopy(_ name: String, until deadline: LoopInstant) async throws {
        while true {
            while PQisBusy(handle.pointer) == 1 { try await readCopy(name, until: deadline) }
            guard let result = PQgetResult(handle.pointer) else { return }
            defer { PQclear(result) }
            let status = PQresultStatus(result)
            // Of rows that nobody wants there may be any number.
            if status == PGRES_COPY_OUT || status == PGRES_COPY_IN { throw lostCopy(name) }
        }
    }

    private func nextResult(_ name: String, until deadline: LoopInstant) async throws -> OpaquePointer {
        while PQisBusy(handle.pointer) == 1 { try await readCopy(name, until: deadline) }
        guard let result = PQgetResult(handle.pointer) else { throw lostCopy(name) }
        return result
    }

    private func flushCopy(_ name: String, until deadline: LoopInstant) async throws {
        while true {
            let rest = PQflush(handle.pointer)
            if rest == 0 { return }
            if rest < 0 { throw lostCopy(name) }
            try await waitForCopy([.read, .write], name, until: deadline)
            // Both ways, or each side could wait for the other with full buffers.
            if PQconsumeInput(handle.pointer) != 1 { throw lostCopy(name) }
        }
    }

    private func readCopy(_ name: String, until deadline: LoopInstant) async throws {
        try await waitForCopy(.read, name, until: deadline)
        if PQconsumeInput(handle.pointer) != 1 { throw lostCopy(name) }
    }

    private func waitForCopy(
        _ interest: LoopExecutor.Interest, _ name: String, until deadline: LoopInstant
    ) async throws {
        guard isUsable, let copy else { throw PostgresError(.reconnect, "the connection was closed", context: name) }
        if copy.isCancelled { throw PostgresError(.cancelled, "the task was cancelled", context: name) }
        let isReady = await copy.wait(for: interest, on: socket, until: deadline)
        if copy.isCancelled { throw PostgresError(.cancelled, "the task was cancelled", context: name) }
        guard isUsable else { throw PostgresError(.reconnect, "the connection was closed", context: name) }
        guard isReady else { throw PostgresError(.deadlineExceeded, "no answer within the deadline", context: name) }
    }

    private func lostCopy(_ name: String) -> PostgresError {
        let message = handle.message
        lose(message)
        return PostgresError(.reconnect, message, context: name)
    }

    private func copyError(_ result: OpaquePointer, _ name: String) -> PostgresError {
        let failure = ServerFailure(result)
        PQclear(result)
        return PostgresError(
            Classifier.code(sqlState: failure.sqlState, phase: .transaction), failure.message, context: name,
            sqlState: failure.sqlState, detail: failure.detail, constraint: failure.constraint)
    }
}
