/// The sequences of a publisher's hint channels; pure.
///
/// Bounded: the longest unused channels are forgotten. One that is used again goes on above every sequence it can have
/// had, so its subscribers may see a gap that is none, but never take a new hint for an old one.
struct HintSequences {
    let channelsKept: Int
    /// The last sequence by channel, and when it was used.
    private var channels: [String: (last: Int64, used: Int64)] = [:]
    private var uses: Int64 = 0
    private var floor: Int64 = 0

    init(channelsKept: Int) {
        precondition(channelsKept >= 1, "at least one channel must be kept, got \(channelsKept)")
        self.channelsKept = channelsKept
    }

    mutating func next(_ channel: String) -> Int64 {
        uses += 1
        if let index = channels.index(forKey: channel) {
            channels.values[index].last += 1
            channels.values[index].used = uses
            return channels.values[index].last
        }
        makeRoom()
        channels[channel] = (floor + 1, uses)
        return floor + 1
    }

    /// Forgets an eighth at once, so that the oldest is not searched for each time.
    private mutating func makeRoom() {
        guard channels.count >= channelsKept else { return }
        let oldest = channels.sorted { $0.value.used < $1.value.used }.prefix(max(1, channelsKept / 8))
        for (channel, entry) in oldest {
            floor = max(floor, entry.last)
            channels[channel] = nil
        }
    }
}
