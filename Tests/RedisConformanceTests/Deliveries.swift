import Redis

extension RedisDelivery {
    /// The payloads of a batch; none for a gap.
    var payloads: [[UInt8]] {
        guard case .messages(let messages) = self else { return [] }
        return messages.map { Array($0.payload) }
    }

    var gap: RedisGap? {
        guard case .gap(let gap) = self else { return nil }
        return gap
    }
}

extension RedisSubscription {
    /// Takes what is there, up to this payload: the gaps, and the payloads behind the last of them.
    func drain(until last: String) async -> (gaps: [RedisGap], payloads: [[UInt8]]) {
        var gaps: [RedisGap] = []
        var payloads: [[UInt8]] = []
        while payloads.last != Array(last.utf8), let delivery = await next() {
            if let gap = delivery.gap {
                gaps.append(gap)
                payloads = []
            }
            payloads += delivery.payloads
        }
        return (gaps, payloads)
    }
}
