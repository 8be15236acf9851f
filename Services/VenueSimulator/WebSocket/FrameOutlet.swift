/// Where a session's frames go: a socket, or a list in a test.
protocol FrameOutlet: Sendable {
    /// Sends without waiting, in the order of the calls, `delay` later than now.
    func send(_ text: String, after delay: Duration)
    func ping()
    func pong(_ body: [UInt8])
    func close()
}
