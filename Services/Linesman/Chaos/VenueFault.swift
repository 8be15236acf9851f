import ChaosEngine
import Foundation
import NIOConcurrencyHelpers
import Resilience

/// A fault was there, and nothing came its way: one that was chosen proves nothing, one that was drawn may miss.
struct NeverStruck: Error, CustomStringConvertible {
    /// As the venue counts it.
    let counted: String

    var description: String { "\(counted) never struck" }
}

/// What the simulated venue does wrong when it is asked to; it stops by itself when nobody asks in time.
final class VenueFault: ArmedFault {
    private struct Armed: Decodable {
        let id: Int
        let closed: Int?
    }

    private struct Statistics: Decodable {
        let faults: [String: Int]
    }

    private struct Clock: Decodable {
        /// Venue seconds a second of the machine.
        let speed: Double?
    }

    private let kind: Fault.Kind
    private let control: String
    private let limit: Duration
    /// As the venue counts it; nil for what is over when it was asked for.
    private let counted: String?
    private let http = LocalHTTP()
    private let id = NIOLockedValueBox<Int?>(nil)
    private let struckBefore = NIOLockedValueBox(0)

    static let kinds: Set<Fault.Kind> = [.mute, .disconnect, .loseAcknowledgements, .skipFrames, .refuse]

    /// - `control`: the address of the simulator's `/control`.
    /// - `limit`: after which it stops by itself, in time of the machine.
    init?(_ kind: Fault.Kind, at control: String, for limit: Duration) {
        guard Self.kinds.contains(kind) else { return nil }
        self.kind = kind
        self.control = control
        self.limit = limit
        counted = Self.word(for: kind)
    }

    /// What the venue counts it as; nil for what does not last.
    private static func word(for kind: Fault.Kind) -> String? {
        switch kind {
        case .mute: "mute"
        case .loseAcknowledgements: "lostAcknowledgement"
        case .skipFrames: "drop"
        case .refuse: "scoreFeedDown"
        default: nil
        }
    }

    /// What is posted to the venue.
    ///
    /// - Parameters:
    ///   - kind: one of `kinds`.
    ///   - limit: after which it is to stop by itself, in time of the machine.
    ///   - speed: venue seconds a second of the machine.
    /// - Returns: JSON.
    static func order(_ kind: Fault.Kind, for limit: Duration, speed: Double) -> String {
        guard let name = word(for: kind) else { return "{\"kind\":\"reset\",\"target\":\"websocket\"}" }
        let lasting = "\"for_venue_seconds\":\(Int((limit.inSeconds * speed).rounded(.up)))"
        let chance =
            switch kind {
            case .loseAcknowledgements: "\"probability\":0.5,\"target\":\"POST\","
            case .skipFrames: "\"probability\":0.1,"
            default: ""
            }
        return "{\"kind\":\"\(name)\",\(chance)\(lasting)}"
    }

    func make() async throws {
        let before = try await struck()
        struckBefore.withLockedValue { $0 = before }
        let order = Self.order(kind, for: limit, speed: try await speed())
        let answer = try await http.post("\(control)/faults", json: order)
        let armed = try JSONDecoder().decode(Armed.self, from: Data(answer.utf8))
        if counted == nil, armed.closed ?? 0 == 0 { throw ChaosFailure("the venue had no connection to close") }
        id.withLockedValue { $0 = armed.id }
    }

    func undo() async throws {
        guard let counted, let armed = id.withLockedValue({ $0.take() }) else { return }
        // It may have stopped by itself.
        try? await http.delete("\(control)/faults/\(armed)")
        guard try await struck() > struckBefore.withLockedValue({ $0 }) else {
            throw NeverStruck(counted: counted)
        }
    }

    /// A fault lasts in time of the venue, which may play faster.
    private func speed() async throws -> Double {
        let clock: Clock = try await http.get("\(control)/clock")
        guard let speed = clock.speed, speed > 0 else {
            throw ChaosFailure(
                "the venue does not say at \(control)/clock how fast it plays: start the simulator of this version")
        }
        return speed
    }

    private func struck() async throws -> Int {
        guard let counted else { return 0 }
        let statistics: Statistics = try await http.get("\(control)/stats")
        return statistics.faults[counted] ?? 0
    }
}
