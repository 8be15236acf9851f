import Foundation
import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime

// Writes numbered rows through a journal, or stores what an earlier life left there, until it is done or killed.
//
// Arguments: folder, database, file of acknowledged numbers, first number, how many. Without a number of rows it ends
// when the journal is empty.

let arguments = CommandLine.arguments
let (path, database, acknowledgements) = (arguments[1], arguments[2], arguments[3])
let (first, count) = (Int(arguments[4]) ?? 0, Int(arguments[5]) ?? 0)

var settings = JournalSettings()
settings.path = path
settings.batchLimit = 20
settings.segmentBytes = 1 << 16
settings.timeout = .seconds(2)
var target = try PostgresSettings(url: database)
target.minConnections = 0
let log = Logger(label: "journal-writer")
let pool = PostgresPool(
    settings: target, application: "journal-writer", clock: .real, random: .system, log: log,
    metrics: MetricsRegistry())
let journal = WriteJournal(settings: settings, name: "writer", pool: pool, metrics: MetricsRegistry()) {
    try $1.enqueue("INSERT INTO audit_log (event) VALUES (\($0.payload))")
}
// Both end with the process.
let running = Task { await journal.run() }

if count == 0 {
    while journal.statistics.replayed == 0 || journal.statistics.records > 0 {
        try await MachineClock.real.sleep(for: .milliseconds(5))
    }
} else {
    let file = open(acknowledgements, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    // So many at once, as a busy shard's games would.
    let width = 50
    for start in stride(from: first, to: first + count, by: width) {
        try await withThrowingTaskGroup(of: Int.self) { tasks in
            for number in start..<min(start + width, first + count) {
                tasks.addTask {
                    try await journal.write(DeferredWrite(kind: "number", payload: "\(number)"))
                    return number
                }
            }
            for try await number in tasks {
                let line = Array("\(number)\n".utf8)
                guard write(file, line, line.count) == line.count else { exit(1) }
            }
        }
    }
}
await journal.drain(within: .seconds(5))
running.cancel()
await running.value
