import Foundation
import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime

// Relays the outbox into a file, one line for each publication, until it is killed.
//
// Arguments: database, file. A line is the row's id and key.

let arguments = CommandLine.arguments
let file = open(arguments[2], O_WRONLY | O_CREAT | O_APPEND, 0o600)
let pool = PostgresPool(
    settings: try PostgresSettings(url: arguments[1]), application: "outbox-relayer", clock: .real, random: .system,
    log: Logger(label: "outbox-relayer"), metrics: MetricsRegistry())
var policy = OutboxPolicy()
policy.limit = 20
policy.sweep = .milliseconds(5)
let relay = OutboxRelay(pool: pool, nudge: OutboxNudge(), metrics: MetricsRegistry(), policy: policy) { row in
    let line = Array("\(row.id) \(row.key)\n".utf8)
    guard write(file, line, line.count) == line.count else { exit(1) }
    // As long as a bus takes to answer.
    try await MachineClock.real.sleep(for: .microseconds(200))
}
await relay.run()
