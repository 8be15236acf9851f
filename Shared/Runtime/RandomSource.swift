import NIOConcurrencyHelpers
import Resilience

/// The randomness of one process, handed to everything that draws: the system's, or a seeded one that can be replayed.
public struct RandomSource: Sendable {
    private enum Source {
        case system
        case seeded(SeededGenerator)
    }

    private let source: NIOLockedValueBox<Source>

    public static var system: RandomSource { RandomSource(source: NIOLockedValueBox(.system)) }

    /// The same seed gives the same numbers, in the order in which they are drawn.
    public static func seeded(_ seed: UInt64) -> RandomSource {
        RandomSource(source: NIOLockedValueBox(.seeded(SeededGenerator(seed: seed))))
    }

    /// Lends the generator under a lock; `body` must not draw from the same source again.
    public func withGenerator<R>(_ body: (inout any RandomNumberGenerator) -> R) -> R {
        source.withLockedValue { source in
            switch source {
            case .system:
                var generator: any RandomNumberGenerator = SystemRandomNumberGenerator()
                return body(&generator)
            case .seeded(let seeded):
                var generator: any RandomNumberGenerator = seeded
                defer { if let after = generator as? SeededGenerator { source = .seeded(after) } }
                return body(&generator)
            }
        }
    }

    /// A random UUID (version 4) in lower case: an incarnation, a command id.
    public func uuid() -> String {
        let (high, low) = withGenerator { ($0.next() as UInt64, $0.next() as UInt64) }
        return UUIDText.random(high: high, low: low).text
    }
}
