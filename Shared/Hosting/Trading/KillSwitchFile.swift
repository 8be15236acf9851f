import Domain

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The kill switch that needs nothing but a file system: the file is there, or it is not (DESIGN rule 14).
public struct KillSwitchFile: Hashable, Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// Looks whether the file is there, with a single `stat`.
    ///
    /// Only "no such file" is released; what cannot be looked at is unknown.
    public func read() -> KillSwitchState {
        var status = stat()
        if stat(path, &status) == 0 { return .engaged }
        return errno == ENOENT ? .released : .unknown
    }
}
