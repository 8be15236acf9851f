/// A message as published.
public struct RedisMessage: Hashable, Sendable {
    public let channel: String
    /// The pattern that let it in, nil for a subscription to the channel itself.
    public let pattern: String?
    public let payload: [UInt8]

    public init(channel: String, pattern: String? = nil, payload: [UInt8]) {
        self.channel = channel
        self.pattern = pattern
        self.payload = payload
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
    case messages([RedisMessage])
    case gap(RedisGap)
}

/// A message as it came off the wire; names are compared as bytes.
struct PushedMessage {
    let target: SubscriptionTarget
    let channel: [UInt8]
    let payload: [UInt8]

    /// - Returns: nil for a reply that is not a message.
    init?(_ reply: RESPValue) {
        guard case .array(let parts) = reply, parts.count >= 3, case .bulk(let kind) = parts[0] else { return nil }
        switch parts.count {
        case 3 where kind.elementsEqual("message".utf8):
            guard case .bulk(let channel) = parts[1], case .bulk(let payload) = parts[2] else { return nil }
            self.init(target: SubscriptionTarget(channel, isPattern: false), channel: channel, payload: payload)
        case 4 where kind.elementsEqual("pmessage".utf8):
            guard case .bulk(let pattern) = parts[1], case .bulk(let channel) = parts[2],
                case .bulk(let payload) = parts[3]
            else { return nil }
            self.init(target: SubscriptionTarget(pattern, isPattern: true), channel: channel, payload: payload)
        default:
            return nil
        }
    }

    private init(target: SubscriptionTarget, channel: [UInt8], payload: [UInt8]) {
        self.target = target
        self.channel = channel
        self.payload = payload
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
