import NIOConcurrencyHelpers
import Resilience
import Synchronization

/// A number that only grows.
public final class Counter: Sendable {
    private let total = Atomic<Int64>(0)

    init() {}

    public func increment(by amount: Int = 1) {
        total.wrappingAdd(Int64(amount), ordering: .relaxed)
    }

    public var value: Int { Int(total.load(ordering: .relaxed)) }
}

/// A number that goes up and down.
public final class Gauge: Sendable {
    private let bits = Atomic<UInt64>(0)

    init() {}

    public func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    public func set(_ value: Int) { set(Double(value)) }
    public func set(_ value: Bool) { set(value ? 1.0 : 0.0) }
    public var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
}

/// How often a value fell into each bucket, with count and sum.
public final class Histogram: Sendable {
    struct State: Sendable {
        var counts: [Int]
        var sum = 0.0
        var count = 0
    }

    /// Upper bounds, ascending; a last bucket without bound is implied.
    public let buckets: [Double]
    private let state: NIOLockedValueBox<State>

    /// Seconds, from half a millisecond to a minute.
    public static let seconds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]

    init(buckets: [Double]) {
        self.buckets = buckets.sorted()
        state = NIOLockedValueBox(State(counts: Array(repeating: 0, count: buckets.count + 1)))
    }

    public func observe(_ value: Double) {
        let index = buckets.firstIndex { value <= $0 } ?? buckets.count
        state.withLockedValue { state in
            state.counts[index] += 1
            state.sum += value
            state.count += 1
        }
    }

    /// Records a length in seconds.
    public func observe(_ duration: Duration) { observe(duration.inSeconds) }

    public var count: Int { state.withLockedValue { $0.count } }
    public var sum: Double { state.withLockedValue { $0.sum } }

    /// The upper bound of the bucket in which the given share of the values lies; nil when empty or unbounded.
    public func quantile(_ share: Double) -> Double? {
        let state = state.withLockedValue { $0 }
        guard state.count > 0 else { return nil }
        var seen = 0
        for (index, count) in state.counts.enumerated() {
            seen += count
            if Double(seen) >= share * Double(state.count) { return index < buckets.count ? buckets[index] : nil }
        }
        return nil
    }

    /// Cumulative counts per bucket, the unbounded one last, with sum and count of the same moment.
    var cumulative: (counts: [Int], sum: Double, count: Int) {
        let state = state.withLockedValue { $0 }
        var running = 0
        let counts = state.counts.map { count in
            running += count
            return running
        }
        return (counts, state.sum, state.count)
    }
}

/// Every metric of one process, by name and label set.
///
/// Label values come from closed sets. As a safety net a metric keeps at most `labelSetsPerMetric` sets; further ones
/// are counted together under the value `other` (DESIGN rule 9).
public final class MetricsRegistry: Sendable {
    enum Instrument: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)

        var kind: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    struct Family: Sendable {
        var help: String
        var kind: String
        /// By rendered label set, for example `part="redis"`, empty without labels.
        var members: [String: Instrument] = [:]
    }

    private let families = NIOLockedValueBox<[String: Family]>([:])
    private let labelSetsPerMetric: Int

    public init(labelSetsPerMetric: Int = 200) {
        precondition(labelSetsPerMetric >= 1, "a metric needs at least one label set")
        self.labelSetsPerMetric = labelSetsPerMetric
    }

    /// The counter of that name and label set; the same each time it is asked for.
    public func counter(_ name: String, _ help: String = "", labels: [String: String] = [:]) -> Counter {
        let found = instrument(name, help, labels, "counter") { .counter(Counter()) }
        guard case .counter(let counter) = found else { return Counter() }
        return counter
    }

    public func gauge(_ name: String, _ help: String = "", labels: [String: String] = [:]) -> Gauge {
        let found = instrument(name, help, labels, "gauge") { .gauge(Gauge()) }
        guard case .gauge(let gauge) = found else { return Gauge() }
        return gauge
    }

    public func histogram(
        _ name: String, _ help: String = "", labels: [String: String] = [:], buckets: [Double] = Histogram.seconds
    ) -> Histogram {
        let found = instrument(name, help, labels, "histogram") { .histogram(Histogram(buckets: buckets)) }
        guard case .histogram(let histogram) = found else { return Histogram(buckets: buckets) }
        return histogram
    }

    private func instrument(
        _ name: String, _ help: String, _ labels: [String: String], _ kind: String, make: () -> Instrument
    ) -> Instrument {
        precondition(Self.isName(name), "not a metric name: \(name)")
        precondition(labels.keys.allSatisfy { Self.isName($0) && $0 != "le" }, "not label names: \(labels.keys)")
        return families.withLockedValue { families in
            var family = families[name] ?? Family(help: help, kind: kind)
            precondition(family.kind == kind, "\(name) is a \(family.kind), asked for as a \(kind)")
            var rendered = Self.rendered(labels)
            if family.members[rendered] == nil, !labels.isEmpty, family.members.count >= labelSetsPerMetric {
                rendered = Self.rendered(labels.mapValues { _ in "other" })
            }
            if family.help.isEmpty { family.help = help }
            let instrument = family.members[rendered] ?? make()
            family.members[rendered] = instrument
            families[name] = family
            return instrument
        }
    }

    /// Every value by `name{labels}`; a histogram gives `_count` and `_sum`.
    public func snapshot() -> [String: Double] {
        var values: [String: Double] = [:]
        for (name, family) in families.withLockedValue({ $0 }) {
            for (labels, instrument) in family.members {
                let suffix = labels.isEmpty ? "" : "{\(labels)}"
                switch instrument {
                case .counter(let counter): values[name + suffix] = Double(counter.value)
                case .gauge(let gauge): values[name + suffix] = gauge.value
                case .histogram(let histogram):
                    values[name + "_count" + suffix] = Double(histogram.count)
                    values[name + "_sum" + suffix] = histogram.sum
                }
            }
        }
        return values
    }

    /// The Prometheus text format, version 0.0.4, sorted.
    public func prometheusText() -> String {
        var lines: [String] = []
        for (name, family) in families.withLockedValue({ $0 }).sorted(by: { $0.key < $1.key }) {
            if !family.help.isEmpty {
                let help = family.help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
                lines.append("# HELP \(name) \(help)")
            }
            lines.append("# TYPE \(name) \(family.kind)")
            for (labels, instrument) in family.members.sorted(by: { $0.key < $1.key }) {
                lines += Self.lines(name, labels, instrument)
            }
        }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func lines(_ name: String, _ labels: String, _ instrument: Instrument) -> [String] {
        let suffix = labels.isEmpty ? "" : "{\(labels)}"
        switch instrument {
        case .counter(let counter): return ["\(name)\(suffix) \(counter.value)"]
        case .gauge(let gauge): return ["\(name)\(suffix) \(number(gauge.value))"]
        case .histogram(let histogram):
            let (counts, sum, count) = histogram.cumulative
            let bounds = histogram.buckets.map(number) + ["+Inf"]
            let prefix = labels.isEmpty ? "" : labels + ","
            return zip(bounds, counts).map { "\(name)_bucket{\(prefix)le=\"\($0)\"} \($1)" }
                + ["\(name)_sum\(suffix) \(number(sum))", "\(name)_count\(suffix) \(count)"]
        }
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    /// Whoever counts asks for its counter each time, also on the way of an order: most need no more than one look.
    private static func rendered(_ labels: [String: String]) -> String {
        if labels.isEmpty { return "" }
        return labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(escaped($0.value))\"" }.joined(separator: ",")
    }

    private static func escaped(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy {
            $0 != UInt8(ascii: "\\") && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\n")
        }
        if isPlain { return value }
        return value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }
}
