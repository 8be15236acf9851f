/// A message as published.
public struct RedisMessage: Hashable, Sendable {
    /// Shared by all messages that came in the same way.
    let origin: RedisOrigin
    /// A slice of the batch the message was delivered in.
    ///
    /// A slice that is kept keeps its batch: up to 64 KiB, or one larger message. Copy what is kept for long into an
    /// array of its own: `Array(message.payload)`. Indices do not begin at zero.
    public let payload: ArraySlice<UInt8>

    init(origin: RedisOrigin, payload: ArraySlice<UInt8>) {
        self.origin = origin
        self.payload = payload
    }

    public init(channel: String, pattern: String? = nil, payload: [UInt8]) {
        self.init(
            origin: RedisOrigin(channel: Array(channel.utf8), pattern: pattern.map { Array($0.utf8) }),
            payload: payload[...])
    }

    /// The name it was published on; invalid UTF-8 is repaired.
    public var channel: String { origin.channel }

    /// The pattern that let it in, nil for a subscription to the channel itself.
    public var pattern: String? { origin.pattern }

    /// The payload as text; invalid UTF-8 is repaired.
    public var text: String { String(decoding: payload, as: UTF8.self) }

    public static func == (left: Self, right: Self) -> Bool {
        left.origin == right.origin && left.payload == right.payload
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(origin)
        hasher.combine(payload)
    }
}

/// Something was missed before this point of the subscription.
public struct RedisGap: Hashable, Sendable {
    /// In order of severity: of two gaps with nothing between them the more severe is kept.
    public enum Reason: Int, Hashable, Sendable, Comparable {
        /// The subscription's own queue was full.
        case overflow
        /// The connection was lost; every name is live again now.
        case reconnected
        /// The server is another one, or lost its data.
        case dataLost

        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    public let reason: Reason
    /// Messages known to be dropped; what the server did not send is not in it.
    public let dropped: Int

    public init(_ reason: Reason, dropped: Int = 0) {
        self.reason = reason
        self.dropped = dropped
    }
}

/// What a subscription hands out: all messages that were there, or the news that some are missing.
public enum RedisDelivery: Hashable, Sendable {
    case messages(RedisMessages)
    case gap(RedisGap)
}

/// A channel and the subscription that let its messages in: made once, shared by all of them.
final class RedisOrigin: Hashable, Sendable {
    let channel: String
    let pattern: String?
    /// The channel as it came off the wire.
    let name: [UInt8]
    /// What was subscribed to.
    let target: SubscriptionTarget

    init(channel: [UInt8], pattern: [UInt8]?) {
        name = channel
        self.channel = String(decoding: channel, as: UTF8.self)
        self.pattern = pattern.map { String(decoding: $0, as: UTF8.self) }
        target = SubscriptionTarget(pattern ?? channel, isPattern: pattern != nil)
    }

    static func == (left: RedisOrigin, right: RedisOrigin) -> Bool {
        left === right || (left.name == right.name && left.target == right.target)
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(target)
    }
}

/// One name to subscribe to.
struct SubscriptionTarget: Hashable, Comparable, Sendable {
    let name: [UInt8]
    let isPattern: Bool

    init(_ name: [UInt8], isPattern: Bool) {
        self.name = name
        self.isPattern = isPattern
    }

    static func < (left: Self, right: Self) -> Bool {
        left.isPattern == right.isPattern ? left.name.lexicographicallyPrecedes(right.name) : !left.isPattern
    }
}
