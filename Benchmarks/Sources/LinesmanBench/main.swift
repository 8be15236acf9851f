import Foundation

// `linesman-bench [engine | bus | postgres | all] [--only PART]... [--results FOLDER] [--rounds N]`
// `linesman-bench bus-faults [--only PART]... [--fault-rounds N] [--away SECONDS] [--minutes N] [--seed N]`
// `linesman-bench postgres-faults`

do {
    let arguments = CommandLine.arguments.dropFirst()
    if arguments.first == "contender" {
        try await OwnContender.run(Array(arguments.dropFirst()))
        exit(0)
    }
    let options = try Options(arguments, environment: ProcessInfo.processInfo.environment)
    for suite in options.suites {
        let report = try await suite.run(options)
        print(report.table)
        try report.write(to: options.results, named: suite.resultName)
        guard report.violations.isEmpty else { throw BenchError(.failure, "a promise was broken, see above") }
    }
} catch {
    FileHandle.standardError.write(Data("linesman-bench: \(error)\n".utf8))
    exit((error as? BenchError)?.exitCode ?? 1)
}
