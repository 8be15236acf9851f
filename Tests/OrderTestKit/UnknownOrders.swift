import NIOConcurrencyHelpers

/// Orders whose answer was missing at some time, whichever session and whichever life of the service saw it.
final class UnknownOrders: Sendable {
    private let ids = NIOLockedValueBox<Set<String>>([])

    func insert(_ id: String) { ids.withLockedValue { _ = $0.insert(id) } }
    func contains(_ id: String) -> Bool { ids.withLockedValue { $0.contains(id) } }
}
