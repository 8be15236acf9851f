import Foundation

/// A contender in a process of its own, which does slices on request: one of `Benchmarks/Peers`, or this program again.
///
/// It speaks lines as `Peers/peer.h` says. It measures itself, so nobody else's work is in its figures.
final class ContenderProcess {
    let name: String
    /// What it said it is, for example `hiredis 0.14.1`.
    let greeting: String
    private let process = Process()
    private let lines: ProcessLines

    /// Starts it and waits until it is ready.
    init(_ name: String, _ program: String, _ arguments: [String]) throws(BenchError) {
        self.name = name
        let input = Pipe()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        lines = ProcessLines(name, input.fileHandleForWriting, output.fileHandleForReading)
        do { try process.run() } catch { throw BenchError(.failure, "\(program) cannot be started: \(error)") }
        greeting = try lines.next("ready")
    }

    /// The second word of its greeting.
    var version: String { String(greeting.split(separator: " ").dropFirst().first ?? "unknown") }

    /// The end of its standard input is its end too.
    deinit {
        lines.close()
        process.waitUntilExit()
    }

    /// Hands it a line that it does not answer.
    func tell(_ line: String) throws(BenchError) { try lines.write(line) }

    /// One slice of `count` units; `armed` is called when the contender waits for something to come.
    ///
    /// - Returns: its figures, the CPU microseconds of the whole slice first.
    func slice(_ count: Int, armed: (() throws(BenchError) -> Void)? = nil) throws(BenchError) -> [Double] {
        try lines.write("slice \(count)")
        if let armed {
            _ = try lines.next("armed")
            try armed()
        }
        let figures = try lines.next("done").split(separator: " ").compactMap { Double($0) }
        guard figures.count >= 2 else { throw BenchError(.failure, "\(name) reports no figures") }
        return figures
    }
}

/// The lines between this process and a child; an answer that does not come is an error.
private final class ProcessLines {
    private static let patience = 120.0

    private let name: String
    private let input: FileHandle
    private let output: FileHandle
    private var pending: [UInt8] = []

    init(_ name: String, _ input: FileHandle, _ output: FileHandle) {
        self.name = name
        self.input = input
        self.output = output
        // A child that is gone must be an error here, not the end of this process.
        signal(SIGPIPE, SIG_IGN)
    }

    func close() {
        // Closed already when the child could not be started.
        try? input.close()
    }

    func write(_ line: String) throws(BenchError) {
        do { try input.write(contentsOf: Data("\(line)\n".utf8)) } catch {
            throw BenchError(.failure, "\(name) has ended: \(error)")
        }
    }

    /// The next line, which must begin with `word`, without it.
    func next(_ word: String) throws(BenchError) -> String {
        let end = Date.timeIntervalSinceReferenceDate + Self.patience
        while true {
            if let newline = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<newline], as: UTF8.self)
                pending.removeSubrange(...newline)
                guard line == word || line.hasPrefix(word + " ") else {
                    throw BenchError(.failure, "\(name) says '\(line)' where '\(word)' is expected")
                }
                return String(line.dropFirst(word.count + 1))
            }
            let left = end - Date.timeIntervalSinceReferenceDate
            var wanted = pollfd(fd: output.fileDescriptor, events: Int16(POLLIN), revents: 0)
            guard left > 0, poll(&wanted, 1, Int32(left * 1000)) > 0 else {
                throw BenchError(.failure, "\(name) did not answer in \(Int(Self.patience)) s")
            }
            let bytes = output.availableData
            guard !bytes.isEmpty else { throw BenchError(.failure, "\(name) has ended; it says why above") }
            pending += bytes
        }
    }
}

extension ContenderProcess {
    /// This program again, in the role that `arguments` name.
    static func ours(_ arguments: [String]) throws(BenchError) -> ContenderProcess {
        let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
        return try ContenderProcess("ours", program, ["contender"] + arguments)
    }
}

/// Lets processes do slices in turn.
enum ProcessSlices {
    /// The figures of each slice of each contender, in their order; one slice before them warms up and is discarded.
    ///
    /// `slice` does one slice of the contender at an index.
    static func measure(
        _ contenders: [ContenderProcess], rounds: Int, slice: (Int) throws -> [Double]
    ) throws -> [[[Double]]] {
        var slices = contenders.map { _ in [[Double]]() }
        for round in 0...rounds {
            // As in `Slices`: nobody always follows the same other one.
            let order = Array(contenders.indices)
            for index in round.isMultiple(of: 2) ? order : order.reversed() {
                let figures = try slice(index)
                if round > 0 { slices[index].append(figures) }
            }
        }
        return slices
    }

    /// Slices of `count` units that need nothing from outside.
    static func measure(_ contenders: [ContenderProcess], count: Int, rounds: Int) throws -> [[[Double]]] {
        try measure(contenders, rounds: rounds) { try contenders[$0].slice(count) }
    }
}

extension Figure {
    /// One of the figures of each slice, divided by the units of a slice.
    init(_ name: String, _ slices: [[Double]], at index: Int = 0, per units: Int = 1) {
        self.init(name: name, slices: slices.map { $0[index] / Double(units) })
    }
}
