/// What is asked directly before an order's bytes are written (DESIGN rule 14).
///
/// Between the decision to send and the first byte may lie a new connection, up to its time-out. So who sends asks once
/// more when the connection is there: in the same turn of its loop in which the body is written, without a wait in
/// between. It must not block; one `stat` is what it is for.
public struct LastLook: Sendable {
    /// Why nothing may be written any more, as a word of a closed set; nil when it may.
    public let refusal: @Sendable () -> String?

    public init(_ refusal: @escaping @Sendable () -> String?) { self.refusal = refusal }

    /// Of who has nothing to ask.
    public static let none = LastLook { nil }
}
