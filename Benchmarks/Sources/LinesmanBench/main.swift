import Foundation

// `linesman-bench [engine | bus | postgres | fleet | all] [--only PART]... [--results FOLDER] [--rounds N]`
// `linesman-bench bus-faults [--only PART]... [--fault-rounds N] [--away SECONDS] [--minutes N] [--seed N]`
// `linesman-bench postgres-faults`
// `linesman-bench path [--seconds N]`
// `linesman-bench load [ramp] [overhead] [--seconds N]`
// `linesman-bench order-faults [--submits N] [--seed N]`
// `linesman-bench kill-switch`
// `linesman-bench fleet-faults [failover] [redis-away] [busy] [alerts] [storm] [leadership] [recovery]
//     [--rounds N] [--away SECONDS] [--minutes N] [--games N]`
//
// Exit code: 0 when every bar that was measured is met, 1 when one is missed, a promise is broken or something cannot
// be measured, 64 for a command line that is wrong. All that was asked for runs before a missed bar counts.

do {
    let arguments = CommandLine.arguments.dropFirst()
    if arguments.first == "contender" {
        try await OwnContender.run(Array(arguments.dropFirst()))
        exit(0)
    }
    let options = try Options(arguments, environment: ProcessInfo.processInfo.environment)
    var verdict = Verdict()
    for suite in options.suites {
        let report = try await suite.run(options)
        print(report.table)
        try report.write(to: options.results, named: suite.resultName)
        verdict.add(report)
    }
    print(verdict.text)
    exit(verdict.exitCode)
} catch {
    FileHandle.standardError.write(Data("linesman-bench: \(error)\n".utf8))
    exit((error as? BenchError)?.exitCode ?? 1)
}
