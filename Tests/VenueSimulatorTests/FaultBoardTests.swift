import Domain
import Testing

@testable import VenueSimulator

struct FaultBoardTests {
    @Test func `a fault without bounds strikes once`() {
        var board = FaultBoard()
        _ = board.arm(FaultOrder(kind: .drop), at: .epoch)
        #expect(board.strike(.drop, "ticker A", at: .epoch) != nil)
        #expect(board.strike(.drop, "ticker A", at: .epoch) == nil)
        #expect(board.struck == [.drop: 1])
        #expect(board.armed.isEmpty)
    }

    @Test func `a fault hits only its kind and its target`() {
        var board = FaultBoard()
        _ = board.arm(FaultOrder(kind: .drop, target: "orderbook_delta", count: 2), at: .epoch)
        #expect(board.strike(.drop, "ticker A", at: .epoch) == nil)
        #expect(board.strike(.duplicate, "orderbook_delta A", at: .epoch) == nil)
        #expect(board.strike(.drop, "orderbook_delta A", at: .epoch) != nil)
    }

    @Test func `a fault ends when its venue time is over`() {
        var board = FaultBoard()
        _ = board.arm(FaultOrder(kind: .mute, forVenueSeconds: 10), at: .epoch)
        #expect(board.strike(.mute, "websocket", at: .epoch.advanced(by: .seconds(9))) != nil)
        #expect(board.strike(.mute, "websocket", at: .epoch.advanced(by: .seconds(10))) == nil)
    }

    @Test func `the same seed strikes the same subjects`() {
        func strikes(_ seed: UInt64) -> [Bool] {
            var board = FaultBoard()
            _ = board.arm(FaultOrder(kind: .drop, probability: 0.3, seed: seed), at: .epoch)
            return (0..<200).map { _ in board.strike(.drop, "", at: .epoch) != nil }
        }
        #expect(strikes(7) == strikes(7))
        #expect(strikes(7) != strikes(8))
        #expect((30...90).contains(strikes(7).count { $0 }))
    }
}
