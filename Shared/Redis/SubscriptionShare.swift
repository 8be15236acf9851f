/// What one queue gets of a read whose messages go different ways.
///
/// Copied, so that a queue holds no more than its own messages: a slow consumer of a quiet channel must not keep the
/// reads of a busy one.
struct SubscriptionShare {
    let queue: SubscriptionQueue
    private(set) var messages = RedisMessages()

    /// `routes` names the queues by the index of the messages' origin.
    static func shares(of messages: RedisMessages, _ routes: [[SubscriptionQueue]]) -> [SubscriptionShare] {
        var shares: [SubscriptionShare] = []
        var known: [ObjectIdentifier: Int] = [:]
        // By origin: which share, and which of its origins.
        let ways = zip(messages.origins, routes).map { origin, queues in
            queues.map { queue in
                let share = known[ObjectIdentifier(queue)] ?? shares.count
                if share == shares.count {
                    known[ObjectIdentifier(queue)] = share
                    shares.append(SubscriptionShare(queue: queue))
                }
                return (share: share, origin: shares[share].messages.add(origin))
            }
        }
        for index in messages.indices {
            for way in ways[messages.origin(of: index)] {
                shares[way.share].messages.append(index, of: messages, origin: way.origin)
            }
        }
        return shares
    }
}
