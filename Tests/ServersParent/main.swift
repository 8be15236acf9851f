import Foundation
import Servers

// Starts servers, says where they are, and lives until it is killed: the test kills it and looks for leftovers.

let directory = try TemporaryDirectory("parent")
let redis = try await PrivateRedis.start(in: directory.path)
let postgres = try await PrivatePostgres.start(in: directory.path)
let sleeper = try ChildProcess.spawn("/bin/sh", ["-c", "trap '' TERM; sleep 1000 & wait"])
let facts = [
    "directory=\(directory.path)", "redis=\(redis.processID)", "postgres=\(postgres.processID)",
    "sleeper=\(sleeper.processID)", "ready=yes",
]
try FileHandle.standardOutput.write(contentsOf: Data((facts.joined(separator: " ") + "\n").utf8))
_ = await sleeper.wait()
