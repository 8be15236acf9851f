import CEpoll
import CLibPQ
import Glibc
import NIOConcurrencyHelpers

/// Where everything that touches libpq runs: one thread that waits in epoll and executes the actor's jobs in between.
@globalActor
actor DatabaseLoop {
    static let shared = DatabaseLoop()
    nonisolated var unownedExecutor: UnownedSerialExecutor { LoopExecutor.shared.asUnownedSerialExecutor() }
}

/// A deadline of the loop: the kernel's monotonic clock, since it is the kernel that waits.
struct LoopInstant: Comparable, Sendable {
    var nanoseconds: Int64

    static var now: LoopInstant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return LoopInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    func advanced(by duration: Duration) -> LoopInstant {
        let (seconds, attoseconds) = duration.components
        let bounded = min(max(seconds, -86_400 * 365), 86_400 * 365)
        return LoopInstant(nanoseconds: nanoseconds + bounded * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}

/// The thread, its queue of jobs and the sockets it watches.
///
/// Invariant of the unchecked conformance: `inbox` is under its lock; `thread` is set before anyone can see the
/// instance; all else is touched by the loop's thread only, which `DatabaseLoop` isolation ensures for the callers.
final class LoopExecutor: SerialExecutor, @unchecked Sendable {
    static let shared = LoopExecutor()

    /// What ended a wait.
    enum Wake: Sendable {
        case ready
        case deadline
        case interrupted
    }

    struct Interest: OptionSet, Sendable {
        let rawValue: UInt32
        static let read = Interest(rawValue: EPOLLIN.rawValue)
        static let write = Interest(rawValue: EPOLLOUT.rawValue)
    }

    private struct Watch {
        var armed: UInt32
        var deadline: LoopInstant?
        var waiter: CheckedContinuation<Wake, Never>?
    }

    private struct Inbox {
        var jobs: [UnownedJob] = []
        var isSleeping = false
    }

    private let inbox = NIOLockedValueBox(Inbox())
    private let poll: Int32
    private let bell: Int32
    private var thread: pthread_t = 0
    private var own: [UnownedJob] = []
    private var watches: [Int32: Watch] = [:]

    private init() {
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        precondition(poll >= 0 && bell >= 0, "epoll \(poll), eventfd \(bell), errno \(errno)")
        control(EPOLL_CTL_ADD, bell, EPOLLIN.rawValue)
        let context = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<LoopExecutor>.fromOpaque(context).takeUnretainedValue().run()
                return nil
            }, context)
        precondition(status == 0, "pthread_create \(status)")
    }

    // MARK: Jobs

    private var isOnLoop: Bool { pthread_equal(pthread_self(), thread) != 0 }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isOnLoop {
            own.append(job)
            return
        }
        let mustRing = inbox.withLockedValue { inbox in
            inbox.jobs.append(job)
            defer { inbox.isSleeping = false }
            return inbox.isSleeping
        }
        if mustRing { eventfd_write(bell, 1) }
    }

    func checkIsolated() { precondition(isOnLoop, "not on the database loop") }

    private func run() {
        let executor = asUnownedSerialExecutor()
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while true {
            var jobs = own
            own.removeAll(keepingCapacity: true)
            inbox.withLockedValue { inbox in
                jobs.append(contentsOf: inbox.jobs)
                inbox.jobs.removeAll(keepingCapacity: true)
            }
            for job in jobs { job.runSynchronously(on: executor) }

            let mayWait =
                own.isEmpty
                && inbox.withLockedValue { inbox in
                    inbox.isSleeping = inbox.jobs.isEmpty
                    return inbox.isSleeping
                }
            let count = epoll_wait(poll, &events, Int32(events.count), mayWait ? timeout() : 0)
            inbox.withLockedValue { $0.isSleeping = false }
            for event in events.prefix(Int(max(count, 0))) { handle(event) }
            expire()
        }
    }

    // MARK: Sockets

    /// Waits, one per socket, until the socket is ready, the deadline has passed, or `interrupt` is called.
    ///
    /// A fresh descriptor may be another socket than last time under the same number (libpq while connecting).
    @DatabaseLoop
    func wait(
        for interest: Interest, on socket: Int32, until deadline: LoopInstant?, isFresh: Bool = false
    ) async -> Wake {
        var watch = watches[socket] ?? Watch(armed: 0)
        precondition(watch.waiter == nil, "two waiters on socket \(socket)")
        if isFresh || watch.armed != interest.rawValue || watches[socket] == nil {
            arm(socket, interest.rawValue)
            watch.armed = interest.rawValue
        }
        watch.deadline = deadline
        return await withCheckedContinuation { continuation in
            watch.waiter = continuation
            watches[socket] = watch
        }
    }

    @DatabaseLoop
    func interrupt(_ socket: Int32) { resume(socket, .interrupted) }

    @DatabaseLoop
    func forget(_ socket: Int32) {
        resume(socket, .interrupted)
        watches[socket] = nil
        control(EPOLL_CTL_DEL, socket, 0)
    }

    private func resume(_ socket: Int32, _ wake: Wake) {
        guard let waiter = watches[socket]?.waiter else { return }
        watches[socket]?.waiter = nil
        watches[socket]?.deadline = nil
        waiter.resume(returning: wake)
    }

    private func handle(_ event: epoll_event) {
        let socket = event.data.fd
        if socket == bell {
            var count: eventfd_t = 0
            eventfd_read(bell, &count)
        } else if watches[socket]?.waiter != nil {
            resume(socket, .ready)
        } else if watches[socket] != nil {
            // An idle session ended. Level-triggered: without a reader it would be reported for ever.
            watches[socket]?.armed = 0
            control(EPOLL_CTL_DEL, socket, 0)
        }
    }

    private func timeout() -> Int32 {
        guard let next = watches.values.compactMap(\.deadline).min() else { return -1 }
        let left = next.nanoseconds - LoopInstant.now.nanoseconds
        return left <= 0 ? 0 : Int32(min((left + 999_999) / 1_000_000, 60_000))
    }

    private func expire() {
        guard watches.values.contains(where: { $0.deadline != nil }) else { return }
        let now = LoopInstant.now
        let due = watches.filter { $0.value.deadline.map { $0 <= now } ?? false }
        for socket in due.keys { resume(socket, .deadline) }
    }

    private func arm(_ socket: Int32, _ interest: UInt32) {
        if !control(EPOLL_CTL_MOD, socket, interest) { control(EPOLL_CTL_ADD, socket, interest) }
    }

    @discardableResult
    private func control(_ operation: Int32, _ socket: Int32, _ interest: UInt32) -> Bool {
        var event = epoll_event()
        event.events = interest
        event.data.fd = socket
        return epoll_ctl(poll, operation, socket, &event) == 0
    }
}
