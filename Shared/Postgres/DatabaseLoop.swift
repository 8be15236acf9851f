import CEpoll
import Glibc
import NIOConcurrencyHelpers
import Synchronization

/// Where everything that touches libpq runs: one thread that waits in epoll and executes what it is given in between.
///
/// Callers do not hop to the actor and back: they hand it work with `LoopExecutor.execute` and wait for the answer
/// where they are, which costs one change of thread each way, and none for a task that prefers `LoopTaskExecutor`.
@globalActor
actor DatabaseLoop {
    static let shared = DatabaseLoop()
    nonisolated var unownedExecutor: UnownedSerialExecutor { LoopExecutor.shared.asUnownedSerialExecutor() }
}

/// A deadline of the loop: the kernel's monotonic clock, since it is the kernel that waits.
struct LoopInstant: Comparable, Sendable {
    var nanoseconds: Int64

    static let never = LoopInstant(nanoseconds: .max)

    static var now: LoopInstant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return LoopInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// How long after `earlier`; negative when before.
    func since(_ earlier: LoopInstant) -> Duration { .nanoseconds(nanoseconds - earlier.nanoseconds) }

    func advanced(by duration: Duration) -> LoopInstant {
        advanced(by: duration.loopNanoseconds)
    }

    func advanced(by nanoseconds: Int64) -> LoopInstant { LoopInstant(nanoseconds: self.nanoseconds + nanoseconds) }
}

extension Duration {
    /// Whole nanoseconds, at most a year of them.
    var loopNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let bounded = min(max(seconds, -86_400 * 365), 86_400 * 365)
        return bounded * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}

/// What the loop calls.
@DatabaseLoop
protocol LoopListener: AnyObject {
    /// The socket can be read or written, or is broken; comes again until that has been seen to.
    func socketIsReady()
    /// The time asked for with `wake` has come.
    func timeHasCome(_ now: LoopInstant)
    /// The loop is about to look at the sockets, as asked for with `beforeWaiting`.
    func loopWillWait()
}

extension LoopListener {
    func loopWillWait() {}
}

/// What a caller hands to the loop without a closure.
@DatabaseLoop
protocol LoopCall: AnyObject, Sendable {
    func begin()
}

/// The thread, what it has to do, the sockets it watches and the times it keeps.
///
/// Invariant of the unchecked conformance: `inbox` is under its lock; `thread` is set before anyone can see the
/// instance; `own` and `isInTask` are touched by the loop's thread only; all else is isolated. What every statement
/// touches is not checked at run time for a second use during the first (`@exclusivity(unchecked)`), here and in what
/// runs on the loop: no use of it calls back.
final class LoopExecutor: SerialExecutor, @unchecked Sendable {
    static let shared = LoopExecutor()
    /// How often what was given on the loop itself is looked at before the sockets are.
    private static let turns = 16

    typealias Work = @DatabaseLoop @Sendable () -> Void

    struct Interest: OptionSet, Sendable {
        let rawValue: UInt32
        static let read = Interest(rawValue: EPOLLIN.rawValue)
        static let write = Interest(rawValue: EPOLLOUT.rawValue)
    }

    private enum Item {
        case work(Work)
        case call(any LoopCall)
        /// A job of the actor.
        case job(UnownedJob)
        /// A job of a task that prefers this thread.
        case taskJob(UnownedJob)

        var isJob: Bool { if case .job = self { true } else { false } }
    }

    /// What the loop's thread is about, for whoever gives it something.
    private enum Attention {
        /// Awake, and the inbox has been seen to.
        static let awake = 0
        /// Something has been put into the inbox since.
        static let wanted = 1
        /// Waiting in the kernel, or about to: the bell must be rung.
        static let asleep = 2
    }

    private struct Watch {
        var interest: Interest
        let listener: any LoopListener
    }

    private struct Alarm {
        var at: LoopInstant
        let listener: any LoopListener
    }

    private let inbox = NIOLockedValueBox<[Item]>([])
    private let attention = Atomic(Attention.awake)
    private let poll: Int32
    private let bell: Int32
    /// Rings when the earliest alarm is due: setting it is rare, and no wait has to be told how long it may take.
    private let timer: Int32
    @exclusivity(unchecked) private var thread: pthread_t = 0
    @exclusivity(unchecked) private var own: [Item] = []
    /// Whether a task's job runs, with nothing of the loop's own below it on the stack.
    private var isInTask = false
    @DatabaseLoop @exclusivity(unchecked) private var eager: [any LoopListener] = []
    @DatabaseLoop @exclusivity(unchecked) private var told: [any LoopListener] = []
    /// By the socket's number, which is small.
    @DatabaseLoop @exclusivity(unchecked) private var watches: [Watch?] = []
    @DatabaseLoop private var alarms: [ObjectIdentifier: Alarm] = [:]
    /// No alarm is earlier; one that was moved or dropped leaves it too early, which costs one look.
    @DatabaseLoop private var earliest = LoopInstant.never

    private init() {
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        bell = eventfd(0, Int32(EFD_CLOEXEC))
        timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
        precondition(
            poll >= 0 && bell >= 0 && timer >= 0, "epoll \(poll), eventfd \(bell), timerfd \(timer), errno \(errno)")
        control(EPOLL_CTL_ADD, bell, .read)
        control(EPOLL_CTL_ADD, timer, .read)
        let context = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<LoopExecutor>.fromOpaque(context).takeUnretainedValue().begin()
                return nil
            }, context)
        precondition(status == 0, "pthread_create \(status)")
    }

    // MARK: What there is to do

    private var isOnLoop: Bool { pthread_equal(pthread_self(), thread) != 0 }

    func checkIsolated() { precondition(isOnLoop, "not on the database loop") }

    /// Does it on the loop: at once for a task that prefers this thread, otherwise after what was given before.
    func execute(_ work: @escaping Work) {
        guard isOnLoop, isInTask else { return add(.work(work)) }
        isInTask = false
        // Isolated, since this is the loop's thread.
        unsafeBitCast(work, to: (@Sendable () -> Void).self)()
        isInTask = true
    }

    func execute(_ call: some LoopCall) {
        guard isOnLoop, isInTask else { return add(.call(call)) }
        isInTask = false
        // Isolated, since this is the loop's thread.
        let begin: Work = { call.begin() }
        unsafeBitCast(begin, to: (@Sendable () -> Void).self)()
        isInTask = true
    }

    func enqueue(_ job: consuming ExecutorJob) { add(.job(UnownedJob(job))) }

    fileprivate func enqueueTask(_ job: UnownedJob) { add(.taskJob(job)) }

    private func add(_ item: Item) {
        if isOnLoop { return own.append(item) }
        inbox.withLockedValue { $0.append(item) }
        let before = attention.exchange(Attention.wanted, ordering: .sequentiallyConsistent)
        if before == Attention.asleep { eventfd_write(bell, 1) }
    }

    /// Takes over what others have given; costs no lock when that is nothing.
    private func collect() {
        guard attention.load(ordering: .sequentiallyConsistent) == Attention.wanted else { return }
        // Before the look into the inbox: who puts something in later is seen next time.
        attention.store(Attention.awake, ordering: .sequentiallyConsistent)
        inbox.withLockedValue { inbox in
            own.append(contentsOf: inbox)
            inbox.removeAll(keepingCapacity: true)
        }
    }

    /// - Returns: false when something has been given meanwhile.
    private func fallAsleep() -> Bool {
        attention.compareExchange(
            expected: Attention.awake, desired: Attention.asleep, ordering: .sequentiallyConsistent
        ).exchanged
    }

    private func wakeUp() {
        // Whoever rang the bell has set it already.
        _ = attention.compareExchange(
            expected: Attention.asleep, desired: Attention.awake, ordering: .sequentiallyConsistent)
    }

    /// Waits for the actor's first job: the one that never returns, and makes the thread part of the actor.
    private func begin() {
        // Awaited by nobody: it lives as long as the process.
        Task { @DatabaseLoop in serve() }
        while true {
            collect()
            if let index = own.firstIndex(where: \.isJob), case .job(let job) = own.remove(at: index) {
                job.runSynchronously(on: asUnownedSerialExecutor())
            } else if fallAsleep() {
                hush()
                wakeUp()
            }
        }
    }

    @DatabaseLoop
    private func serve() {
        let (actor, tasks) = (asUnownedSerialExecutor(), LoopTaskExecutor.shared.asUnownedTaskExecutor())
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        var items: [Item] = []
        while true {
            collect()
            // What follows from it as well, before the next look at the sockets; but they must not starve.
            for _ in 0..<Self.turns where !own.isEmpty {
                swap(&items, &own)
                for item in items {
                    switch item {
                    case .work(let work): work()
                    case .call(let call): call.begin()
                    case .job(let job): job.runSynchronously(on: actor)
                    case .taskJob(let job):
                        isInTask = true
                        job.runSynchronously(on: tasks)
                        isInTask = false
                    }
                }
                items.clear()
            }

            if !eager.isEmpty {
                swap(&eager, &told)
                for listener in told { listener.loopWillWait() }
                told.clear()
            }
            let mayWait = own.isEmpty && fallAsleep()
            let count = epoll_wait(poll, &events, Int32(events.count), mayWait ? -1 : 0)
            if mayWait { wakeUp() }
            var isDue = false
            for index in 0..<Int(max(count, 0)) {
                switch events[index].data.fd {
                case bell: hush()
                case timer: isDue = true
                case let socket: watches[Int(socket)]?.listener.socketIsReady()
                }
            }
            if isDue { ring(.now) }
        }
    }

    private func hush() {
        var count: eventfd_t = 0
        eventfd_read(bell, &count)
    }

    // MARK: Sockets

    /// Calls the listener whenever the socket is ready; a fresh descriptor may be another socket than last time under
    /// the same number (libpq while connecting).
    @DatabaseLoop
    func watch(_ socket: Int32, for interest: Interest, isFresh: Bool = false, _ listener: any LoopListener) {
        let index = Int(socket)
        while watches.count <= index { watches.append(nil) }
        if !isFresh, let watch = watches[index], watch.listener === listener {
            guard watch.interest != interest else { return }
            watches[index]?.interest = interest
        } else {
            watches[index] = Watch(interest: interest, listener: listener)
        }
        if !control(EPOLL_CTL_MOD, socket, interest) { control(EPOLL_CTL_ADD, socket, interest) }
    }

    /// Calls this listener no more for the socket.
    ///
    /// libpq closes a socket that is lost by itself, and its number may be a new session's by the time the old one is
    /// given up: what is another listener's stays.
    @DatabaseLoop
    func forget(_ socket: Int32, _ listener: any LoopListener) {
        let index = Int(socket)
        guard watches.indices.contains(index), let watch = watches[index], watch.listener === listener else { return }
        watches[index] = nil
        control(EPOLL_CTL_DEL, socket, [])
    }

    @discardableResult
    private func control(_ operation: Int32, _ socket: Int32, _ interest: Interest) -> Bool {
        var event = epoll_event()
        event.events = interest.rawValue
        event.data.fd = socket
        return epoll_ctl(poll, operation, socket, &event) == 0
    }

    // MARK: Times

    /// Calls `timeHasCome` once, at `instant` or a moment later; a call before that only makes it earlier.
    @DatabaseLoop
    func wake(_ listener: any LoopListener, at instant: LoopInstant) {
        let key = ObjectIdentifier(listener)
        if let alarm = alarms[key], alarm.at <= instant { return }
        alarms[key] = Alarm(at: instant, listener: listener)
        if instant < earliest { setTimer(instant) }
    }

    /// Makes the timer ring at `instant`, at once if that has passed; never when it is `never`.
    @DatabaseLoop
    private func setTimer(_ instant: LoopInstant) {
        earliest = instant
        var time = itimerspec()
        if instant < .never {
            // Zero would stop it.
            let nanoseconds = max(instant.nanoseconds, 1)
            time.it_value.tv_sec = Int(nanoseconds / 1_000_000_000)
            time.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
        }
        timerfd_settime(timer, Int32(TFD_TIMER_ABSTIME), &time, nil)
    }

    /// Calls `loopWillWait` once, when everything that was given to the loop has been done.
    @DatabaseLoop
    func beforeWaiting(_ listener: any LoopListener) { eager.append(listener) }

    /// Forgets the listener's time.
    @DatabaseLoop
    func letSleep(_ listener: any LoopListener) { alarms[ObjectIdentifier(listener)] = nil }

    @DatabaseLoop
    private func ring(_ now: LoopInstant) {
        let due = alarms.filter { $0.value.at <= now }
        for key in due.keys { alarms[key] = nil }
        // Set anew, it is silent until then.
        setTimer(alarms.values.map(\.at).min() ?? .never)
        for alarm in due.values { alarm.listener.timeHasCome(now) }
    }
}

extension Array {
    /// Removes all and keeps the room: for lists of few, less work than the library's general way.
    fileprivate mutating func clear() {
        while !isEmpty { removeLast() }
    }
}

/// The same thread for tasks that prefer it.
final class LoopTaskExecutor: TaskExecutor {
    static let shared = LoopTaskExecutor()

    func enqueue(_ job: consuming ExecutorJob) { LoopExecutor.shared.enqueueTask(UnownedJob(job)) }
}

/// Waits, once at a time, until a socket is ready or a deadline has passed: for what is rare enough to be a story.
@DatabaseLoop
final class LoopWait: LoopListener {
    private var waiter: CheckedContinuation<Bool, Never>?
    private var deadline = LoopInstant.never
    private var socket: Int32?
    /// Set by `cancel`, also before anybody waits.
    private(set) var isCancelled = false

    nonisolated init() {}

    /// Ends the wait, and says to whoever waits next that there is nothing to wait for.
    func cancel() {
        isCancelled = true
        end(false)
    }

    /// - Returns: false when the deadline came first.
    func wait(for interest: LoopExecutor.Interest, on socket: Int32, until deadline: LoopInstant) async -> Bool {
        self.socket = socket
        LoopExecutor.shared.watch(socket, for: interest, isFresh: true, self)
        return await wait(until: deadline)
    }

    /// Waits for `end`.
    func wait(until deadline: LoopInstant) async -> Bool {
        self.deadline = deadline
        LoopExecutor.shared.wake(self, at: deadline)
        return await withCheckedContinuation { waiter = $0 }
    }

    func end(_ isReady: Bool = true) {
        LoopExecutor.shared.letSleep(self)
        // Level-triggered: it would be told again and again until somebody reads.
        if let socket { LoopExecutor.shared.forget(socket, self) }
        socket = nil
        let waiting = waiter
        waiter = nil
        waiting?.resume(returning: isReady)
    }

    func socketIsReady() { end() }

    func timeHasCome(_ now: LoopInstant) {
        if now < deadline { LoopExecutor.shared.wake(self, at: deadline) } else { end(false) }
    }
}

/// The answer that somebody outside of the loop waits for; given once, on the loop.
@DatabaseLoop
class Reply<Value: Sendable> {
    /// Set before the loop knows of it, and taken by the answer; whoever is given a reply answers it.
    private nonisolated(unsafe) var continuation: UnsafeContinuation<Value, any Error>?
    private(set) final var isCancelled = false
    /// What to do when the waiting task is cancelled; the answer is awaited all the same.
    final var whenCancelled: (() -> Void)?

    nonisolated init() {}

    final func callAsFunction(_ result: Result<Value, PostgresError>) {
        whenCancelled = nil
        let waiting = continuation
        continuation = nil
        switch result {
        case .success(let value): waiting?.resume(returning: value)
        case .failure(let error): waiting?.resume(throwing: error)
        }
    }

    final func succeed(_ value: Value) {
        whenCancelled = nil
        let waiting = continuation
        continuation = nil
        waiting?.resume(returning: value)
    }

    /// Waits for the answer to what `start` gives to the loop, without being told of a cancellation.
    final nonisolated(nonsending) func waitUncancelled(_ start: () -> Void) async throws -> Value {
        try await withUnsafeThrowingContinuation { continuation in
            self.continuation = continuation
            start()
        }
    }

    /// Waits, in the caller's own context, for the answer to what `start` gives to the loop.
    final nonisolated(nonsending) func wait(_ start: () -> Void) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                self.continuation = continuation
                start()
            }
        } onCancel: {
            LoopExecutor.shared.execute { self.cancel() }
        }
    }

    final func cancel() {
        isCancelled = true
        stop()
    }

    /// The waiting task was cancelled.
    func stop() { whenCancelled?() }
}

/// Starts work on the loop and waits, in the caller's own context, for what it replies.
nonisolated(nonsending) func onLoop<Value: Sendable>(
    _ start: @escaping @DatabaseLoop @Sendable (Reply<Value>) -> Void
) async throws -> Value {
    let reply = Reply<Value>()
    return try await reply.wait { LoopExecutor.shared.execute { start(reply) } }
}
