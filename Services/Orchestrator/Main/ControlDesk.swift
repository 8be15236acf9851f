import Domain
import Foundation
import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Takes operators' orders over HTTP and carries them out one after another (docs/CONTROL.md).
///
/// An order is written down before it is given to the engine, and its answer after: what the fleet does at an
/// operator's wish can be read from the audit log.
struct ControlDesk: Sendable {
    private struct Waiting: Sendable {
        let order: ControlOrder
        let answer: Promise<StatusResponse>
    }

    /// Orders that may wait for the one before them.
    static let queueLimit = 16
    /// How long a request waits for its answer.
    static let patience = Duration.seconds(8)

    private let host: ServiceHost
    private let fleet: FleetReconciler
    private let records: OrderRecords
    private let gate: ControlGate
    private let orders: AsyncStream<Waiting>
    private let toOrders: AsyncStream<Waiting>.Continuation

    init(host: ServiceHost, fleet: FleetReconciler, records: OrderRecords, settings: ControlSettings) {
        self.host = host
        self.fleet = fleet
        self.records = records
        gate = ControlGate(token: settings.token, metrics: host.context.metrics)
        (orders, toOrders) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueLimit))
    }

    /// `POST /control/drain`, `/control/undrain` and `/control/reassign`.
    var routes: [StatusRoute] {
        [
            .control("/control/drain", gate) { request in
                await take(request, ShardOrder.self) { .drain($0.shard) }
            },
            .control("/control/undrain", gate) { request in
                await take(request, ShardOrder.self) { .undrain($0.shard) }
            },
            .control("/control/reassign", gate) { request in
                await take(request, GameOrder.self) { .reassign($0.game, to: $0.to) }
            },
        ]
    }

    private func take<Body: OrderBody>(
        _ request: StatusRequest, _ type: Body.Type, _ order: (Body) -> OperatorOrder
    ) async -> StatusResponse {
        let body: Body
        let id: CommandID
        do {
            body = try JSONDecoder().decode(type, from: Data(request.body))
            id = try CommandID(host.context.random.uuid())
        } catch {
            return .refusal(400, "malformed", "the body must be \(Body.example)")
        }
        let by = String((body.by ?? "").unicodeScalars.filter { $0.isASCII && $0.value > 0x1F && $0.value < 0x7F })
        return await queue(ControlOrder(id: id, order: order(body), by: String(by.prefix(64))))
    }

    private func queue(_ order: ControlOrder) async -> StatusResponse {
        let answer = Promise<StatusResponse>()
        guard case .enqueued = toOrders.yield(Waiting(order: order, answer: answer)) else {
            return .refusal(503, "busy", "\(Self.queueLimit) orders wait already: give it again in a moment")
        }
        // Ends by the cancellation below. Whoever asks is answered in time; an order that is still waiting then may
        // yet be carried out.
        let late = Task {
            try await host.clock.sleep(for: Self.patience)
            answer.fulfil(
                .refusal(503, "no_answer_in_time", "the order may yet be carried out: see linesman status"))
        }
        defer { late.cancel() }
        return await answer.value()
    }

    /// Carries out what is asked, until cancelled.
    func run() async {
        for await waiting in orders { waiting.answer.fulfil(await carryOut(waiting.order)) }
    }

    private func carryOut(_ order: ControlOrder) async -> StatusResponse {
        let facts = order.facts
        host.log.notice(
            "operator's order", metadata: ["order": "\(facts["order"] ?? "")", "facts": "\(facts.description)"])
        guard await fleet.isLeading, let term = records.leadership.term(at: host.clock.now) else {
            return await standby(order)
        }
        do {
            try await records.asked(order, term: term)
        } catch is Leadership.Lost {
            return await standby(order)
        } catch {
            host.log.warning("order not written down", metadata: [Key.error: "\(error)"])
            return .refusal(
                503, "not_stored", "PostgreSQL did not take the order down, so nothing is done: give it again")
        }
        let answer = await fleet.answer(order.order, request: order.id)
        do {
            try await records.answered(order, answer, term: term)
        } catch {
            host.log.error("order not kept", metadata: [Key.error: "\(error)", "answer": "\(answer.name)"])
            return .refusal(
                503, "not_kept",
                "the answer was \(answer.name), but PostgreSQL did not take it down: give the order again")
        }
        return Self.response(order, answer)
    }

    /// Not here: names whoever leads.
    ///
    /// Written down too, as far as that is possible.
    private func standby(_ order: ControlOrder) async -> StatusResponse {
        var leader: OrderRecords.Leader?
        do {
            leader = try await records.leader()
            try await records.asked(order, term: nil)
        } catch {
            host.log.warning("order not written down", metadata: [Key.error: "\(error)"])
        }
        guard let leader, leader.isCurrent, leader.holder != records.leadership.holder else {
            return .refusal(409, "not_leading", "this orchestrator does not lead, nor does any other: ask again")
        }
        return .refusal(
            409, "not_leading",
            "this orchestrator stands by: \(leader.holder) leads under term \(leader.term), give the order there")
    }

    private struct Accepted: Encodable {
        let request: String
        let order: String
        let games: Int
        let withoutRoom: Int
    }

    private static func response(_ order: ControlOrder, _ answer: OperatorAnswer) -> StatusResponse {
        switch answer {
        case .accepted(let games, let withoutRoom):
            .json(
                Accepted(
                    request: order.id.rawValue, order: order.facts["order"] ?? "", games: games,
                    withoutRoom: withoutRoom))
        case .refused(let why): .refusal(why.status, why.code, why.message)
        }
    }
}

private protocol OrderBody: Decodable {
    /// Who gives the order.
    var by: String? { get }
    static var example: String { get }
}

private struct ShardOrder: OrderBody {
    let shard: ShardID
    let by: String?

    static let example = #"{"shard": "shard-01"}"#
}

private struct GameOrder: OrderBody {
    let game: GameID
    let to: ShardID?
    let by: String?

    static let example = #"{"game": "401869369"} or {"game": "401869369", "to": "shard-02"}"#
}

extension OperatorRefusal {
    fileprivate var status: Int {
        switch self {
        case .unknownShard, .unknownGame: 404
        default: 409
        }
    }

    fileprivate var message: String {
        switch self {
        case .notLeading: "this orchestrator stands by"
        case .unknownShard: "no shard of this name was heard"
        case .alreadyDrained: "it is drained already"
        case .notDrained: "it is not drained"
        case .unknownGame: "no game of this name is watched"
        case .notSettled: "nobody watches it yet, or it is just being moved: give the order again in a moment"
        case .alreadyThere: "it is watched there already"
        case .shardNotWell: "that shard is dead, degraded, drained or stopping, or gets no games for a while"
        case .wrongKind: "that shard watches another kind of game"
        case .noRoom: "no other shard has room for it"
        }
    }
}
