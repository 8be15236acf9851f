import ArgumentParser
import Foundation
import Recording
import Servers

/// `linesman record`: recordings of games.
struct RecordCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record", abstract: "Work with recordings of games.",
        subcommands: [ImportCommand.self, ShowCommand.self])

    /// `linesman record import`: raw recordings into our own format.
    struct ImportCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import", abstract: "Turn a raw recording into Linesman's format.",
            discussion: "Known: \(RecordingImport.allCases.map(\.rawValue).joined(separator: ", ")).")

        @Argument(help: "Which game it is.", transform: RecordImport.named)
        var game: RecordingImport

        @Option(help: "The folder of the raw recordings; *.gz are decompressed.")
        var from: String

        @Option(name: .shortAndLong, help: "Where to write; standard output when not given.")
        var output: String?

        func run() async throws {
            var texts: [String] = []
            for source in game.sources { texts.append(try await RawFile.text(of: "\(from)/\(source.path)")) }
            let text = try game.recording(from: texts).text
            guard let output else {
                Console.draw(text)
                return
            }
            try text.write(toFile: output, atomically: true, encoding: .utf8)
        }
    }

    /// `linesman record show`: what a recording holds.
    struct ShowCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Check a recording and say what it holds.")

        @Argument(help: "A recording's name or path.")
        var recording: String

        func run() async throws {
            let found = try RecordingLibrary.find(recording)
            let recording = try RecordingLibrary.load(found)
            Console.say("\(recording.header.name): \(recording.game.away.name) at \(recording.game.home.name)")
            Console.say("  from \(recording.start) to \(recording.end)")
            Console.say("  \(recording.entries.count) facts in \(recording.moments.count) moments")
            for market in recording.header.markets {
                Console.say(
                    "  market \(market.market.id), settles at \(market.settlement.map { "\($0)" } ?? "unknown")")
            }
            for line in recording.header.attribution { Console.say("  from: \(line)") }
            for line in recording.header.synthetic { Console.say("  synthetic: \(line)") }
        }
    }
}

/// Finds an import by the name of the recording it makes.
enum RecordImport {
    @Sendable static func named(_ name: String) throws -> RecordingImport {
        guard let found = RecordingImport(rawValue: name) else {
            throw ValidationError("no import is named \(name)")
        }
        return found
    }
}

/// Reads a raw file, decompressed when its name says so.
enum RawFile {
    static func text(of path: String) async throws -> String {
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw ValidationError("\(path) cannot be read")
        }
        if path.hasSuffix(".gz") {
            let (status, output) = try await ChildProcess.run("gzip", ["-dc", path])
            guard status.isSuccess else { throw ValidationError("\(path) cannot be decompressed: \(status)") }
            return output
        }
        return try String(contentsOfFile: path, encoding: .utf8)
    }
}

/// The recordings that ship, found beside the executable or the working directory.
enum RecordingLibrary {
    /// - Throws: `ValidationError` that says where was looked.
    static func find(_ name: String) throws -> String {
        let files = FileManager.default
        if files.fileExists(atPath: name) { return name }
        var folders = ["Recordings"]
        if let named = ProcessInfo.processInfo.environment["LINESMAN_RECORDINGS"], !named.isEmpty {
            folders.insert(named, at: 0)
        }
        var folder = Executables.folder
        for _ in 0..<6 {
            folders.append(folder.appending(path: "Recordings").path)
            folder = folder.deletingLastPathComponent()
        }
        for folder in folders {
            let path = "\(folder)/\(name).recording"
            if files.fileExists(atPath: path) { return path }
        }
        throw ValidationError("no recording \"\(name)\"; looked in \(folders.joined(separator: ", "))")
    }

    static func load(_ path: String) throws -> Recording {
        do {
            return try Recording(text: String(contentsOfFile: path, encoding: .utf8))
        } catch let error as RecordingError {
            throw ValidationError("\(path): \(error)")
        }
    }
}

/// The suite's executables, which stand beside this one.
enum Executables {
    /// The folder of the running executable.
    static let folder: URL = {
        let path =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(filePath: path).deletingLastPathComponent()
    }()

    /// - Throws: `ValidationError` when it has not been built.
    static func path(of name: String, in directory: String? = nil) throws -> String {
        let path = "\(directory ?? folder.path)/\(name)"
        guard FileManager.default.isExecutableFile(atPath: path) else {
            let place =
                directory.map { "in \($0)" } ?? "beside this executable (\(folder.path)); build the whole package"
            throw ValidationError("\(name) is not \(place)")
        }
        return path
    }
}
