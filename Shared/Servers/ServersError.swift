/// Why a private server or a child process could not be started.
public struct ServersError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// A program is not installed; the message names the Debian package.
        case missingProgram
        case spawnFailed
        /// PostgreSQL does not run as root and there is nobody else to run it as.
        case noUnprivilegedUser
        case notReady
        case commandFailed
        case noFreePort
        case directory
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code.rawValue): \(message)" }
}
