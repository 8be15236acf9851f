/// One way of doing a piece of work.
struct Contender {
    let name: String
    /// How many units one pass does: frames, orders, calls.
    let unitsPerPass: Int
    /// Does one pass and returns a number that depends on all of its work, so that none of it can be left out.
    let pass: () throws -> Int
}

/// CPU microseconds per unit over the slices of one run.
struct Figure {
    let name: String
    let median: Double
    let lowest: Double
    let highest: Double

    init(name: String, slices: [Double]) {
        let sorted = slices.sorted()
        precondition(!sorted.isEmpty, "no slices of \(name)")
        self.name = name
        median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        lowest = sorted[0]
        highest = sorted[sorted.count - 1]
    }
}

/// Measures contenders against each other in slices that alternate, so that a busy neighbour or a change of the
/// processor's speed hits all of them alike.
enum Slices {
    /// CPU microseconds that one slice should take: far above the clock's grain, short enough to alternate often.
    private static let length = 20_000.0

    /// The figures of `contenders`, in their order.
    static func measure(_ contenders: [Contender], rounds: Int) throws -> [Figure] {
        let passes = try contenders.map(passesPerSlice)
        var slices = contenders.map { _ in [Double]() }
        for round in 0..<rounds {
            // Every other round goes backwards: nobody always runs in the caches that the same other one left.
            let order = Array(contenders.indices)
            for index in round.isMultiple(of: 2) ? order : order.reversed() {
                let contender = contenders[index]
                let spent = try cpu(of: contender, passes: passes[index])
                slices[index].append(spent / Double(passes[index] * contender.unitsPerPass))
            }
        }
        return zip(contenders, slices).map { Figure(name: $0.name, slices: $1) }
    }

    /// Warms up, and finds how many passes fill a slice.
    private static func passesPerSlice(_ contender: Contender) throws -> Int {
        var passes = 1
        while true {
            let spent = try cpu(of: contender, passes: passes)
            if spent >= length / 2 { return max(1, Int(Double(passes) * length / spent)) }
            passes *= 2
        }
    }

    private static func cpu(of contender: Contender, passes: Int) throws -> Double {
        let start = try ProcessTime.cpuMicroseconds()
        for _ in 0..<passes { keep(try contender.pass()) }
        return try ProcessTime.cpuMicroseconds() - start
    }

    /// Takes a result where the optimiser cannot see that nobody wants it.
    @inline(never) @_optimize(none)
    private static func keep(_ result: Int) {}
}
