import Foundation

/// A peer in Python, and the packages without which its figures are skipped.
struct PythonPeer {
    static let redis = PythonPeer(script: "subscribe.py", modules: ["redis"])
    static let asyncpg = PythonPeer(script: "postgres_asyncpg.py", modules: ["asyncpg", "uvloop"])
    static let psycopg = PythonPeer(script: "postgres_psycopg.py", modules: ["psycopg", "psycopg_binary"])

    let script: String
    let modules: [String]

    /// Nil where its packages are not installed.
    func start(_ name: String, _ arguments: [String], _ options: Options) throws(BenchError) -> ContenderProcess? {
        guard isInstalled(options) else { return nil }
        return try ContenderProcess(name, options.python, ["\(options.pythonPeers)/\(script)"] + arguments)
    }

    private func isInstalled(_ options: Options) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: options.python)
        process.arguments = ["-c", "import \(modules.joined(separator: ", "))"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }  // thrown: no such program
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
