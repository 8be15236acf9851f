import Foundation

/// Finds installed programs, and says what to install when one is missing.
public enum Programs {
    /// The path of an executable in `PATH` or one of `directories`.
    public static func find(
        _ name: String, in directories: [String] = [], package: String
    ) throws(ServersError) -> String {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let searched = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"] + directories
        for directory in searched where access("\(directory)/\(name)", X_OK) == 0 { return "\(directory)/\(name)" }
        throw ServersError(
            .missingProgram, "\(name) is not there; install the Debian package \(package) (apt-get install \(package))")
    }

    /// Debian keeps PostgreSQL's server programs out of `PATH`, by version; the newest first.
    static var postgresDirectories: [String] {
        let base = "/usr/lib/postgresql"
        // Not there means not installed from Debian; the search then fails with what to install.
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        return versions.compactMap { Int($0) }.sorted(by: >).map { "\(base)/\($0)/bin" }
    }
}
