#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The clocks that measurements are made with.
enum ProcessTime {
    /// CPU time of this process, all threads, in microseconds.
    static func cpuMicroseconds() throws(BenchError) -> Double {
        Double(try nanoseconds(CLOCK_PROCESS_CPUTIME_ID)) / 1_000
    }

    /// Time that only goes forward, the same in all processes of this machine.
    static func monotonicNanoseconds() throws(BenchError) -> Int64 { try nanoseconds(CLOCK_MONOTONIC) }

    #if os(Linux)
    /// CPU time of another process, all threads, in microseconds: as `/proc/PID/stat`, without its grain of 10 ms.
    static func cpuMicroseconds(of process: Int32) throws(BenchError) -> Double {
        var clock = clockid_t()
        guard clock_getcpuclockid(process, &clock) == 0 else {
            throw BenchError(.failure, "process \(process) has no CPU clock")
        }
        return Double(try nanoseconds(clock)) / 1_000
    }
    #endif

    private static func nanoseconds(_ clock: clockid_t) throws(BenchError) -> Int64 {
        var time = timespec()
        guard clock_gettime(clock, &time) == 0 else {
            throw BenchError(.failure, "the clock cannot be read: errno \(errno)")
        }
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// CPU and wall time of this process since it was made.
struct Stopwatch {
    private let cpu: Double
    private let wall: Int64

    init() throws(BenchError) {
        wall = try ProcessTime.monotonicNanoseconds()
        cpu = try ProcessTime.cpuMicroseconds()
    }

    /// CPU microseconds, then wall microseconds.
    func read() throws(BenchError) -> [Double] {
        let spent = try ProcessTime.cpuMicroseconds() - cpu
        return [spent, Double(try ProcessTime.monotonicNanoseconds() - wall) / 1_000]
    }
}
