import NIOConcurrencyHelpers

/// The doorways to the containers that a rehearsal looks at, and what of the project was last seen to run.
final class ComposeDoorways: Sendable {
    /// A server in a container.
    private struct Place: Hashable {
        let container: String
        let port: Int
    }

    private struct State {
        var running: [ComposeTarget.Container] = []
        /// How many looks have begun.
        var begun = 0
        /// Which of them is the newest that has ended.
        var newest = 0
        var open: [Place: Doorway] = [:]
    }

    private let state = NIOLockedValueBox(State())

    /// Sorted by name.
    var running: [ComposeTarget.Container] { state.withLockedValue { $0.running } }

    /// Whether one of the doorways leads nowhere.
    var hasLost: Bool {
        state.withLockedValue { state in state.open.keys.contains { Self.server($0, in: state.running) == nil } }
    }

    /// Before it is looked what runs; two looks may be under way at once.
    func beginLook() -> Int {
        state.withLockedValue { state in
            state.begun += 1
            return state.begun
        }
    }

    /// What was seen; older than what is known it is left.
    func endLook(_ number: Int, _ running: [ComposeTarget.Container]) {
        state.withLockedValue { state in
            guard number > state.newest else { return }
            state.newest = number
            state.running = running
            for (place, doorway) in state.open { doorway.lead(to: Self.server(place, in: running)) }
        }
    }

    /// The port on loopback of the doorway to a port of a container, which is opened when it is not yet.
    func port(to container: ComposeTarget.Container, _ port: Int) async throws -> Int {
        let place = Place(container: container.name, port: port)
        if let found = known(place) { return found }
        let made = try await Doorway.open()
        return state.withLockedValue { state in
            // Somebody else may have been as fast; the one that is left closes by itself.
            let doorway = state.open[place] ?? made
            state.open[place] = doorway
            doorway.lead(to: Self.server(place, in: state.running))
            return doorway.port
        }
    }

    private func known(_ place: Place) -> Int? { state.withLockedValue { $0.open[place]?.port } }

    private static func server(_ place: Place, in running: [ComposeTarget.Container]) -> Doorway.Server? {
        running.first { $0.name == place.container }.map { Doorway.Server(host: $0.address, port: place.port) }
    }
}
