import Domain
import ExecutionServiceEngine
import Hosting

extension AuditEvent {
    /// What an intent's end without an order is called; the reason is kept with it.
    static func closing(as end: IntentState, reason: String) -> AuditEvent {
        guard end == .refused else { return .intentExpired }
        return switch SendRefusal(rawValue: reason) {
        case .ordersPerMinute, .ordersPerHour, .ordersPerDay: .rateLimitExceeded
        case .insufficientBalance, .balanceStale, .balanceUnknown: .insufficientBalance
        case .priceOutOfBounds, .priceOffStep, .priceUnknown, .slippage: .priceSanityFailed
        case .killSwitch, .notReconciled, .databaseClock, .orderValue, .orderContracts, .countOffStep, .notHeld,
            .opposingPosition, nil:
            .intentRefused
        }
    }

    /// What a booking is called: by the state that it moved the order to.
    static func booking(_ order: OrderRecord, before: OrderRecord) -> AuditEvent {
        if order.state == before.state { return .orderFills }
        return switch order.state {
        case .stored: .orderStored
        case .sent: .orderPlaced
        case .unknown: .orderUnknown
        case .resting: .orderResting
        case .filled: .orderFilled
        case .partiallyFilled: .orderPartialFill
        case .cancelled: .orderCancelled
        case .rejected: order.isProvenAbsent ? .orderFailed : .orderRejected
        case .expired: order.reason == OrderRecord.shadow ? .orderExpired : .orderFailed
        }
    }
}

extension OrderRecord {
    /// The reason of an order that was not sent because nothing is.
    static let shadow = "shadow"
}
