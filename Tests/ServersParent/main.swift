import Foundation
import Servers

// Starts servers, says where they are, and lives until it is killed: the test kills it and looks for leftovers.

let directory = try TemporaryDirectory("parent")
let redis = try await PrivateRedis.start(in: directory.path)
let postgres = try await PrivatePostgres.start(in: directory.path)
// The server's own processes, each in a group of its own.
let path = "/proc/\(postgres.processID)/task/\(postgres.processID)/children"
let workers = try String(contentsOfFile: path, encoding: .utf8).split(separator: " ").compactMap { Int32($0) }
// Stopped they obey nobody.
if CommandLine.arguments.contains("frozen") {
    redis.pause()
    postgres.pause()
}
let sleeper = try ChildProcess.spawn("/bin/sh", ["-c", "trap '' TERM; sleep 1000 & wait"])
let facts = [
    "directory=\(directory.path)", "redis=\(redis.processID)", "postgres=\(postgres.processID)",
    "sleeper=\(sleeper.processID)", "workers=\(workers.map(String.init).joined(separator: ","))", "ready=yes",
]
try FileHandle.standardOutput.write(contentsOf: Data((facts.joined(separator: " ") + "\n").utf8))
_ = await sleeper.wait()
