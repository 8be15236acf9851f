import Domain
import Hosting
import OrchestratorEngine
import Postgres
import Runtime

/// Operators' orders in PostgreSQL: what was asked, what became of it, and which shards are drained.
struct OrderRecords: Sendable {
    let database: PostgresPool
    let leadership: Leadership

    /// Who leads, by the row that decides it.
    struct Leader: Sendable {
        let holder: String
        let term: Int64
        /// False when nobody has renewed it in time.
        let isCurrent: Bool
    }

    func leader() async throws -> Leader? {
        let row = try await database.query(
            "SELECT holder, term, expires_at > clock_timestamp() AS current FROM leadership", timeout: .seconds(1)
        ).first
        return try row.map {
            Leader(holder: try $0.text("holder"), term: try $0.int64("term"), isCurrent: try $0.bool("current"))
        }
    }

    /// Writes down what is asked, before anything is done.
    ///
    /// A standby writes under no term.
    func asked(_ order: ControlOrder, term: Int64?) async throws {
        try await database.retryingTransaction("order asked", timeout: .seconds(3)) { transaction in
            if let term { try await leadership.require(term, in: transaction) }
            try await AuditEntry("operator_order", game: order.order.game, details: order.facts).write(transaction)
        }
    }

    /// Writes down what became of it; a drain that holds is kept with it.
    func answered(_ order: ControlOrder, _ answer: OperatorAnswer, term: Int64) async throws {
        var details = order.facts
        details["answer"] = answer.name
        if case .accepted(let games, let withoutRoom) = answer {
            details["games"] = "\(games)"
            details["without_room"] = "\(withoutRoom)"
        }
        let entry = AuditEntry("operator_answer", game: order.order.game, details: details)
        try await database.retryingTransaction("order answered", timeout: .seconds(3)) { transaction in
            try await leadership.require(term, in: transaction)
            try await keep(order, answer, transaction)
            try await entry.write(transaction)
        }
    }

    /// An order given again after it could not be kept is refused as done already, and kept then.
    private func keep(
        _ order: ControlOrder, _ answer: OperatorAnswer, _ transaction: PostgresTransaction
    ) async throws {
        switch (order.order, answer) {
        case (.drain(let shard), .accepted), (.drain(let shard), .refused(.alreadyDrained)):
            try await transaction.execute(
                """
                INSERT INTO drained_shards (shard, drained_by) VALUES (\(shard.rawValue), \(order.by))
                ON CONFLICT (shard) DO NOTHING
                """)
        case (.undrain(let shard), .accepted), (.undrain(let shard), .refused(.notDrained)):
            try await transaction.execute("DELETE FROM drained_shards WHERE shard = \(shard.rawValue)")
        default: break
        }
    }
}

/// What an operator wants, and who that is as far as the command says.
struct ControlOrder: Sendable {
    let id: CommandID
    let order: OperatorOrder
    let by: String

    /// For the log and the audit.
    var facts: [String: String] {
        var facts = ["request": id.rawValue, "by": by]
        switch order {
        case .drain(let shard): (facts["order"], facts["shard"]) = ("drain", shard.rawValue)
        case .undrain(let shard): (facts["order"], facts["shard"]) = ("undrain", shard.rawValue)
        case .reassign(_, let shard): (facts["order"], facts["shard"]) = ("reassign", shard?.rawValue ?? "")
        }
        return facts
    }
}

extension OperatorOrder {
    fileprivate var game: GameID? { if case .reassign(let game, _) = self { game } else { nil } }
}

extension OperatorAnswer {
    /// For the log, the audit and programs.
    var name: String {
        switch self {
        case .accepted: "accepted"
        case .refused(let why): why.code
        }
    }
}

extension OperatorRefusal {
    /// As programs read it.
    var code: String {
        switch self {
        case .notLeading: "not_leading"
        case .unknownShard: "unknown_shard"
        case .alreadyDrained: "already_drained"
        case .notDrained: "not_drained"
        case .unknownGame: "unknown_game"
        case .notSettled: "not_settled"
        case .alreadyThere: "already_there"
        case .shardNotWell: "shard_not_well"
        case .wrongKind: "wrong_kind"
        case .noRoom: "no_room"
        }
    }
}
