import Foundation

// `linesman-bench [engine | all] [--results FOLDER] [--rounds N]`

do {
    let options = try Options(CommandLine.arguments.dropFirst(), environment: ProcessInfo.processInfo.environment)
    for suite in options.suites {
        let report = try await suite.run(options)
        print(report.table)
        try report.write(to: options.results, named: suite.resultName)
    }
} catch let error as BenchError {
    FileHandle.standardError.write(Data("linesman-bench: \(error)\n".utf8))
    exit(error.exitCode)
}
