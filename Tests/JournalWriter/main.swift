import Foundation
import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime

// Writes numbered rows through a journal, or stores what an earlier life left there, until it is done or killed.
//
// Arguments: folder, database, file of acknowledged numbers, first number, how many. Without a number of rows it ends
// when the journal is empty. With the word `full` it fills the disk, says so in the file, tries the same row until it
// is taken, and writes so many after it. With the word `killed` it kills itself once so many rows of this life are
// acknowledged or stored, in the middle of its work however late anybody looks.

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

/// The rows of this life after which it is killed.
let lastRow = arguments.count > 7 && arguments[6] == "killed" ? Int(arguments[7]) : nil

/// Ends as `kill -9` does where `rows` are the last.
func goOn(after rows: Int) {
    if let lastRow, rows >= lastRow { kill(getpid(), SIGKILL) }
}

func acknowledge(_ word: String) {
    let file = open(acknowledgements, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    defer { close(file) }
    let line = Array("\(word)\n".utf8)
    guard write(file, line, line.count) == line.count else { exit(1) }
}

if count == 0 {
    while journal.statistics.replayed == 0 || journal.statistics.records > 0 {
        goOn(after: journal.statistics.replayed)
        try await MachineClock.real.sleep(for: .milliseconds(5))
    }
} else if arguments.count > 6, arguments[6] == "full" {
    var (number, left) = (first, Int?.none)
    while left != 0 {
        do {
            try await journal.write(DeferredWrite(kind: "number", payload: "\(number)"))
            acknowledge("\(number)")
            number += 1
            left = left.map { $0 - 1 }
        } catch let error as JournalError where error.code == .diskFull {
            if left == nil {
                acknowledge("full")
                left = count
            }
            try await MachineClock.real.sleep(for: .milliseconds(5))
        }
    }
    // The disk is gone with this process.
    while journal.statistics.records > 0 { try await MachineClock.real.sleep(for: .milliseconds(5)) }
} else {
    // So many at once, as a busy shard's games would.
    let width = 50
    var acknowledged = 0
    for start in stride(from: first, to: first + count, by: width) {
        try await withThrowingTaskGroup(of: Int.self) { tasks in
            for number in start..<min(start + width, first + count) {
                tasks.addTask {
                    try await journal.write(DeferredWrite(kind: "number", payload: "\(number)"))
                    return number
                }
            }
            for try await number in tasks {
                acknowledge("\(number)")
                acknowledged += 1
                goOn(after: acknowledged)
            }
        }
    }
}
await journal.drain(within: .seconds(5))
running.cancel()
await running.value
