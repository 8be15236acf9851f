import Resilience
import Testing

@testable import Alerting

/// Seeded schedules of firings, recoveries, sinks that misbehave, a file that fails, and crashes at any step.
///
/// The file is what survives a crash: effects not yet carried out then are gone, as in a killed process.
struct AlertSimulation {
    var engine: AlertEngine
    var random: SeededGenerator
    var now = MachineInstant.origin.advanced(by: .seconds(100_000))
    var disk: [Alert] = []
    var cursors: [String: SinkCursor] = [:]
    /// Effects in the order in which the shell would carry them out.
    var queue: [AlertEngine.Effect] = []
    var inFlight: [String: AlertMessage] = [:]
    /// What each sink has accepted, in order.
    var accepted: [String: [AlertMessage]] = ["slack": [], "webhook": []]
    var lastArrival: [String: MachineInstant] = [:]
    var isDown: Set<String> = []
    var diskIsFull = false
    /// Whether this life has not read its file yet.
    var isUnread = false
    var raised = 0
    var crashes = 0
    var unreadLives = 0
    var violations: [String] = []
    static let names = (0..<12).map { "cause:\($0)" }

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        engine = Self.engine(seed, now)
        queue = engine.handle(.restore(records: [], cursors: [:], at: 0), at: now)
        carryOut(all: true)
    }

    static func engine(_ seed: UInt64, _ now: MachineInstant) -> AlertEngine {
        AlertEngine(
            policy: AlertPolicy(), source: "sim", sinks: ["slack", "webhook"], seed: seed, at: now)
    }

    var wall: Int64 { now.nanoseconds / 1_000 }

    mutating func take(_ event: AlertEngine.Event) { queue += engine.handle(event, at: now) }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    mutating func step() {
        now = now.advanced(by: .milliseconds(Int64.random(in: 1...2_000, using: &random)))
        switch Int.random(in: 0..<100, using: &random) {
        case ..<25: raise(Int.random(in: 1...3, using: &random))
        case ..<28: raise(Int.random(in: 10...40, using: &random))
        case ..<45: resolveOne()
        case ..<50: toggle()
        case ..<54: crash()
        case ..<58: diskIsFull.toggle()
        case ..<62: readLate()
        default: take(.tick(at: wall))
        }
        carryOut(all: chance(80))
        answerSome()
    }

    private mutating func raise(_ count: Int) {
        for _ in 0..<count {
            raised += 1
            let name = Self.names[Int.random(in: 0..<Self.names.count, using: &random)]
            take(
                .fire(
                    AlertRequest(
                        id: "\(raised)", kind: "kind", fingerprint: name, summary: "\(raised)", source: "sim",
                        at: wall)))
        }
    }

    private mutating func resolveOne() {
        let name = Self.names[Int.random(in: 0..<Self.names.count, using: &random)]
        take(.resolve(fingerprint: name, summary: nil, at: wall))
    }

    private mutating func toggle() {
        let name = chance(50) ? "slack" : "webhook"
        if isDown.remove(name) == nil { isDown.insert(name) }
    }

    /// Everything in memory is gone; at most a first part of what was to be done has been done.
    mutating func crash() {
        crashes += 1
        carryOut(all: false)
        // What was under way may have arrived without anybody knowing.
        for (sink, message) in inFlight.sorted(by: { $0.key < $1.key }) where chance(50) { arrive(message, at: sink) }
        queue = []
        inFlight = [:]
        engine = Self.engine(random.next(), now)
        isUnread = chance(40)
        unreadLives += isUnread ? 1 : 0
        take(isUnread ? .beginUnread(at: wall) : .restore(records: disk, cursors: cursors, at: wall))
    }

    private mutating func readLate() {
        guard isUnread else { return }
        isUnread = false
        take(.restore(records: disk, cursors: cursors, at: wall))
    }

    /// In order, and not all of it when a crash comes first.
    mutating func carryOut(all: Bool) {
        var count = all ? Int.max : Int.random(in: 0...max(0, queue.count), using: &random)
        while count > 0, !queue.isEmpty {
            count -= 1
            switch queue.removeFirst() {
            case .append(let alerts):
                let sequences = alerts.map(\.sequence)
                if diskIsFull || isUnread {
                    take(.notStored(sequences, isUnread ? .file : .diskFull))
                } else {
                    disk += alerts
                    take(.stored(sequences, at: wall))
                }
            case .saveCursor(let cursor, let sink):
                if cursor.sequence < cursors[sink]?.sequence ?? 0 { violations.append("\(sink)'s cursor goes back") }
                if isUnread { violations.append("\(sink)'s cursor is saved, and nobody knows what it passes") }
                if !diskIsFull { cursors[sink] = cursor }
            case .send(let message, let sink):
                if inFlight[sink] != nil { violations.append("two messages under way to \(sink)") }
                inFlight[sink] = message
            }
        }
    }

    private mutating func answerSome() {
        for sink in ["slack", "webhook"] where chance(70) {
            guard let message = inFlight.removeValue(forKey: sink) else { continue }
            let answer: SinkAnswer
            if isDown.contains(sink) {
                let roll = Int.random(in: 0..<4, using: &random)
                let error = AlertError(.unavailable, "down")
                answer =
                    roll == 0
                    ? .refused(AlertError(.sinkRefused, "no_service"))
                    : .later(error, after: roll == 1 ? .seconds(7) : nil)
            } else {
                arrive(message, at: sink)
                // The sink has it, and its word may be lost.
                answer = chance(90) ? .delivered : .later(AlertError(.timeout, "no answer"), after: nil)
            }
            take(.answered(sink: sink, answer, at: wall))
        }
    }

    private mutating func arrive(_ message: AlertMessage, at sink: String) {
        accepted[sink, default: []].append(message)
    }

    /// Everything works again, for long enough.
    mutating func settle() {
        isDown = []
        diskIsFull = false
        readLate()
        for _ in 0..<3_000 where !(engine.isIdle && queue.isEmpty && inFlight.isEmpty) {
            now = now.advanced(by: .seconds(1))
            take(.tick(at: wall))
            carryOut(all: true)
            answerSome()
        }
        if !engine.isIdle { violations.append("not idle in the end: \(engine.waiting)") }
    }

    /// What must hold in the end.
    mutating func judge() {
        let byID = Dictionary(grouping: disk, by: \.sequence)
        for (sequence, records) in byID where Set(records).count > 1 {
            violations.append("two records under \(sequence)")
        }
        for sink in ["slack", "webhook"] {
            let told = accepted[sink, default: []].flatMap(\.alerts)
            let toldIDs = Set(told.map(\.id))
            // Every firing that was to be told was told, under whatever number.
            for alert in disk where !alert.isHeld && alert.aboutSink != sink {
                if alert.state == .firing, !toldIDs.contains(alert.id) {
                    violations.append("\(sink) never heard of \(alert.sequence)")
                }
                if alert.state == .recovered, alert.lastedMilliseconds == nil {
                    violations.append("recovery \(alert.sequence) without its length")
                }
            }
            // Nothing held was told, and nothing that the file does not know of, in the end.
            let known = Set(disk.map(\.sequence))
            for alert in told where alert.isHeld || (!known.contains(alert.sequence) && crashes == 0) {
                violations.append("\(sink) heard \(alert.sequence), which is not for it")
            }
            judgeOrder(of: told, at: sink)
            judgeEnds(of: told, at: sink)
        }
    }

    /// Who was told that something fires is told its end; only what the disk never got may be forgotten by a crash.
    private mutating func judgeEnds(of told: [Alert], at sink: String) {
        let onDisk = Set(disk)
        var last: [String: Alert] = [:]
        for alert in told { last[alert.fingerprint] = alert }
        for (fingerprint, alert) in last.sorted(by: { $0.key < $1.key })
        where alert.state == .firing && onDisk.contains(alert) && !engine.firing.contains(fingerprint) {
            violations.append("\(sink) was never told the end of \(fingerprint), \(alert.sequence)")
        }
        // Nor is the end the last word on what fires and was told.
        for (fingerprint, alert) in last.sorted(by: { $0.key < $1.key })
        where alert.state == .recovered && onDisk.contains(alert)
            && engine.causes[fingerprint].map({ $0.isFiring && $0.isTold }) == true
        {
            violations.append("\(sink) was told the end \(alert.sequence) of \(fingerprint), which fires")
        }
    }

    /// First tellings come in order, and a recovery never before its firing.
    private mutating func judgeOrder(of told: [Alert], at sink: String) {
        var seen: Set<Int64> = []
        var open: Set<String> = []
        var last: Int64 = 0
        for alert in told {
            if alert.state == .firing { open.insert(alert.fingerprint) }
            guard seen.insert(alert.sequence).inserted else { continue }
            if alert.sequence < last, crashes == 0 { violations.append("\(sink): \(alert.sequence) after \(last)") }
            last = max(last, alert.sequence)
            if alert.state == .recovered, !open.contains(alert.fingerprint) {
                violations.append("\(sink): the end \(alert.sequence) without a beginning")
            }
        }
    }
}

@Suite struct AlertSimulationTests {
    @Test(arguments: 0..<8)
    func `requirement 7: crashes at any step, bad sinks and a bad disk lose nothing`(block: UInt64) {
        var unreadLives = 0
        for seed in (block * 30)..<(block * 30 + 30) {
            var simulation = AlertSimulation(seed: seed)
            for _ in 0..<200 { simulation.step() }
            simulation.settle()
            simulation.judge()
            #expect(simulation.violations.isEmpty, "seed \(seed): \(simulation.violations.prefix(3))")
            unreadLives += simulation.unreadLives
        }
        #expect(unreadLives > 30)
    }

    @Test func `the same seed gives the same story`() {
        func story(_ seed: UInt64) -> [String] {
            var simulation = AlertSimulation(seed: seed)
            for _ in 0..<300 { simulation.step() }
            return simulation.disk.map { "\($0.sequence) \($0.fingerprint) \($0.isHeld)" }
                + simulation.accepted.sorted { $0.key < $1.key }.flatMap { $0.value.map(\.id) }
        }
        #expect(story(7) == story(7))
        #expect(story(7) != story(8))
    }
}
