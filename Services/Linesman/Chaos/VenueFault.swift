import ChaosEngine
import Foundation
import NIOConcurrencyHelpers
import Resilience

/// What the simulated venue does wrong when it is asked to; it stops by itself when nobody asks in time.
final class VenueFault: ArmedFault {
    private struct Armed: Decodable {
        let id: Int
        let closed: Int?
    }

    private struct Statistics: Decodable {
        let faults: [String: Int]
    }

    private let control: String
    private let order: String
    /// As the venue counts it; nil for what is over when it was asked for.
    private let counted: String?
    private let http = LocalHTTP()
    private let id = NIOLockedValueBox<Int?>(nil)
    private let struckBefore = NIOLockedValueBox(0)

    static let kinds: Set<Fault.Kind> = [.mute, .disconnect, .loseAcknowledgements, .skipFrames, .refuse]

    /// - `control`: the address of the simulator's `/control`.
    /// - `limit`: after which it stops by itself, in time of the venue.
    init?(_ kind: Fault.Kind, at control: String, for limit: Duration) {
        self.control = control
        let lasting = "\"for_venue_seconds\":\(Int(limit.inSeconds.rounded(.up)))"
        switch kind {
        case .mute: (order, counted) = ("{\"kind\":\"mute\",\(lasting)}", "mute")
        case .disconnect: (order, counted) = ("{\"kind\":\"reset\",\"target\":\"websocket\"}", nil)
        case .loseAcknowledgements:
            counted = "lostAcknowledgement"
            order = "{\"kind\":\"lostAcknowledgement\",\"probability\":0.5,\"target\":\"POST\",\(lasting)}"
        case .skipFrames:
            (order, counted) = ("{\"kind\":\"drop\",\"probability\":0.1,\(lasting)}", "drop")
        case .refuse: (order, counted) = ("{\"kind\":\"scoreFeedDown\",\(lasting)}", "scoreFeedDown")
        default: return nil
        }
    }

    func make() async throws {
        let before = try await struck()
        struckBefore.withLockedValue { $0 = before }
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
            throw ChaosFailure("\(counted) never struck")
        }
    }

    private func struck() async throws -> Int {
        guard let counted else { return 0 }
        let statistics: Statistics = try await http.get("\(control)/stats")
        return statistics.faults[counted] ?? 0
    }
}
