import Foundation
import Runtime

// Stands in for a service of the suite, under the name it was called by, and behaves as STUB_DIR/NAME.mode says:
// `stay` (also without a file), `exit N`, `trap`, `hang`, `deaf` or `refuse`; with `first:` in front only in its first
// life. Every life is a line in STUB_DIR/NAME.starts.

let environment = ProcessInfo.processInfo.environment
let called = URL(filePath: CommandLine.arguments[0]).lastPathComponent
let name = environment["SHARD_ID"] ?? called
let folder = environment["STUB_DIR"] ?? "."

func text(_ path: String) -> String {
    String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
}

func say(_ line: String) throws { try FileHandle.standardError.write(contentsOf: Data((line + "\n").utf8)) }

let starts = text("\(folder)/\(name).starts")
try (starts + "start\n").write(toFile: "\(folder)/\(name).starts", atomically: true, encoding: .utf8)
var mode = text("\(folder)/\(name).mode")
if mode.hasPrefix("first:") { mode = starts.isEmpty ? String(mode.dropFirst("first:".count)) : "stay" }

let supervisor = NotifySocket(environment: environment)
if mode.hasPrefix("exit ") { exit(Int32(mode.dropFirst("exit ".count)) ?? 1) }
if mode == "refuse" {
    try say("\(called): 1 problem in the settings")
    try say("environment: SHARD_ID = \"\(name)\": is not to its taste")
    exit(78)
}
if mode == "deaf" || mode == "hang" { signal(SIGTERM, SIG_IGN) }
signal(SIGHUP, SIG_IGN)
supervisor?.say("READY=1")
if mode == "trap" {
    let none: [Int] = []
    // As in a service: wrong by one, and found by the language.
    try say("\(none[starts.count])")
}
while true {
    if mode != "hang" { supervisor?.say("WATCHDOG=1") }
    try await MachineClock.real.sleep(for: .milliseconds(50))
}
