/// What an execution-service writes on the way of an order, as it is seen from outside: between it and its database,
/// and between it and its venue.
public enum Write: String, CaseIterable, Sendable {
    /// The order's row, before anything is sent.
    case claimOrder = "claim: order"
    /// The order is marked as sent; only one of a plan is stored before.
    case markOrder = "claim: mark sent"
    case claimCommit = "claim: commit"
    /// The order itself.
    case submit
    case readFills = "read fills"
    /// The venue's answer.
    case answerOrder = "answer: order"
    case answerFill = "answer: fill"
    case answerPosition = "answer: position"
    case answerCash = "answer: cash"
    case answerReservation = "answer: reservation"
    case answerOutbox = "answer: outbox"
    case answerCommit = "answer: commit"
    /// The answer did not come.
    case unknownCommit = "unknown: commit"
    /// The look for an order whose answer did not come.
    case find
    case foundCommit = "found: commit"
    case absentCommit = "proven absent: commit"
    case cancel
    /// A plan becomes this process'.
    case takePlan = "plan taken: commit"
    case enterCommit = "enter: commit"
    case coverCommit = "cover: commit"
    case unwindCommit = "unwind: commit"
    /// What a plan came to, and what is left of its reservation.
    case endPlan = "plan ended: commit"

    /// Whether it belongs to plans of two legs only.
    public var isOfPlan: Bool { [.takePlan, .enterCommit, .coverCommit, .unwindCommit, .endPlan].contains(self) }
    public var isRequest: Bool { [.submit, .readFills, .find, .cancel].contains(self) }
}

/// A moment of a write at which the process can be killed.
public enum KillMoment: String, CaseIterable, Sendable {
    /// It has been handed to the kernel, and nobody else has it.
    case before
    /// Half of it has arrived; of requests only.
    case torn
    /// All of it has been passed on, and nothing has been answered.
    case after
    /// It has been answered, and the process does not hear it.
    case answered
}

/// A write, and the moment of it.
public struct KillPoint: Hashable, Sendable, CustomStringConvertible {
    public let write: Write
    public let moment: KillMoment

    public init(_ write: Write, _ moment: KillMoment) {
        self.write = write
        self.moment = moment
    }

    public var description: String { "\(write.rawValue), \(moment.rawValue)" }

    /// Every point at which a service is killed, in the order of an order's life; its row says from the first that it
    /// was sent.
    public static let all = each { !$0.isOfPlan && $0 != .markOrder }

    /// Every point at which it is killed while it works on plans, whose orders have no claims of their own.
    public static let ofPlans = each { ![.claimCommit, .cancel].contains($0) }

    private static func each(_ isMeant: (Write) -> Bool) -> [KillPoint] {
        Write.allCases.filter(isMeant).flatMap { write in
            KillMoment.allCases.filter { $0 != .torn || write == .submit }.map { KillPoint(write, $0) }
        }
    }
}
