import Bus
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// The record of a run while it is written.
final class CutLedger: Sendable {
    private let state: NIOLockedValueBox<CutRecord>
    private let clock: MachineClock

    init(publishers: [String], subscribers: [String], clock: MachineClock) {
        var record = CutRecord()
        for name in publishers { record.publishers[name] = CutRecord.Publisher() }
        for name in subscribers {
            record.journals[name] = CutRecord.Subscriber()
            record.hints[name] = CutRecord.Subscriber()
        }
        state = NIOLockedValueBox(record)
        self.clock = clock
    }

    var record: CutRecord { state.withLockedValue { $0 } }

    /// Journaled messages attempted by all publishers together.
    var attempted: Int { state.withLockedValue { $0.publishers.values.reduce(0) { $0 + $1.attempted } } }

    func restarted(_ times: Int) { state.withLockedValue { $0.restarts += times } }

    // MARK: Publishing

    /// Changes the truth before the message that tells of it is published.
    func attempt(_ message: Numbered, by source: String) {
        state.withLockedValue { record in
            record.publishers[source]?.attempted = message.number
            record.truth.apply(message, from: source)
        }
    }

    func acknowledge(_ number: Int, of source: String) {
        state.withLockedValue { _ = $0.publishers[source]?.acknowledged.insert(number) }
    }

    /// - Returns: the next hint of that source.
    func nextHint(of source: String) -> Numbered {
        let now = clock.now
        return state.withLockedValue { record in
            let message = Numbered((record.publishers[source]?.hints.count ?? 0) + 1)
            record.publishers[source]?.hints.append(now)
            record.hintTruth.apply(message, from: source)
            return message
        }
    }

    // MARK: Receiving

    func collectJournal(_ subscription: Subscription<Numbered>, as name: String) async {
        for await delivery in subscription {
            let event = CutRecord.Event(delivery, at: clock.now)
            state.withLockedValue { record in
                if case .message(let envelope, _) = delivery {
                    record.journals[name]?.state.apply(envelope.body, from: envelope.source)
                }
                record.journals[name]?.events.append(event)
            }
        }
    }

    /// Rereads the truth at each gap, as every consumer of hints must.
    func collectHints(_ subscription: Subscription<Numbered>, as name: String) async {
        for await delivery in subscription {
            let event = CutRecord.Event(delivery, at: clock.now)
            state.withLockedValue { record in
                switch delivery {
                case .message(let envelope, _):
                    record.hints[name]?.state.apply(envelope.body, from: envelope.source)
                case .gap:
                    record.hints[name]?.state = record.hintTruth
                }
                record.hints[name]?.events.append(event)
            }
        }
    }

    /// Whether every journal subscriber has the last message of every publisher.
    var isJournalComplete: Bool {
        state.withLockedValue { record in
            record.publishers.allSatisfy { source, publisher in
                record.journals.values.allSatisfy { $0.last(from: source) == publisher.attempted }
            }
        }
    }

    /// Whether every hint subscriber has the last hint of every publisher.
    var isHintComplete: Bool {
        state.withLockedValue { record in
            record.publishers.allSatisfy { source, publisher in
                record.hints.values.allSatisfy { $0.last(from: source) == publisher.hints.count }
            }
        }
    }

    /// What is missing still, for a person.
    var progress: String {
        let record = record
        let journals = record.publishers.sorted { $0.key < $1.key }.map { source, publisher in
            let reached = record.journals.sorted { $0.key < $1.key }.map { "\($0.value.last(from: source) ?? 0)" }
            return "\(source) \(publisher.attempted) → \(reached.joined(separator: " "))"
        }
        return journals.joined(separator: ", ")
    }
}

extension CutRecord.Event {
    init(_ delivery: Delivery<Numbered>, at now: MachineInstant) {
        let content: Content =
            switch delivery {
            case .message(let envelope, _):
                .message(source: envelope.source, number: envelope.body.number, isIntact: envelope.body.isIntact)
            case .gap(let gap): .gap(gap)
            }
        self.init(content, at: now)
    }
}

extension CutRecord.Subscriber {
    /// The number that came last from that source.
    func last(from source: String) -> Int? {
        for event in events.reversed() {
            if case .message(source, let number, _) = event.content { return number }
        }
        return nil
    }
}
