import Logging
import NIOConcurrencyHelpers
import Resilience

/// The outside world as a process sees it, so that a test can put up another one.
public struct ProcessWorld: Sendable {
    public var environment: [String: String]
    public var clock: MachineClock
    public var wallClock: WallClock
    public var random: RandomSource
    /// Where log lines and settings problems go.
    public var output: LogOutput
    /// Gives the name of each signal: SIGHUP reads settings again, any other asks the process to end.
    public var signals: AsyncStream<String>
    public var processID: Int

    public init(
        environment: [String: String], clock: MachineClock, wallClock: WallClock, random: RandomSource,
        output: LogOutput, signals: AsyncStream<String>, processID: Int
    ) {
        self.environment = environment
        self.clock = clock
        self.wallClock = wallClock
        self.random = random
        self.output = output
        self.signals = signals
        self.processID = processID
    }
}

/// The settings that every process has.
public struct ProcessSettings: Sendable {
    public let logLevel: Logger.Level
    public let logFormat: LogFormat
    /// How long SIGTERM may take.
    public let drainTimeout: Duration

    public init(_ reader: SettingsReader) {
        logLevel = reader.choice("LOG_LEVEL", default: Logger.Level.info, "the least severe level that is logged")
        logFormat = reader.choice("LOG_FORMAT", default: LogFormat.text, "one line of text or one JSON object a record")
        drainTimeout = reader.seconds(
            "DRAIN_TIMEOUT_SECS", default: .seconds(10), in: .milliseconds(100)...(.seconds(3600)),
            "how long a process may take to finish its work after SIGTERM")
        // Read by the runner before the file is; declared here so that it is documented and known.
        _ = reader.text("LINESMAN_CONFIG", default: "linesman.toml", "the settings file; only from the environment")
    }
}

/// What a process is handed to work with.
public struct ProcessContext: Sendable {
    public let service: String
    public let log: Logger
    public let clock: MachineClock
    public let wallClock: WallClock
    public let random: RandomSource
    /// A UUID, new at each start.
    public let incarnation: String
    /// Microseconds since 1970.
    public let startedAt: Int64
    public let processID: Int
    public let metrics: MetricsRegistry
    public let environment: [String: String]
    public let supervisor: Supervisor
    /// The settings every process has.
    public let process: ProcessSettings
    public let settingsFile: SettingsFile?
    let knownSettings: Set<String>
    let declarations: NIOLockedValueBox<[SettingDeclaration]>
    let stopRequest: Promise<String>
    let reloads: ReloadHooks

    /// Reads the settings of the process, all problems at once; call it once, before anything is started.
    ///
    /// - Throws: `SettingsError`, which ends the process with exit code 78.
    public func settings<S>(_ make: (SettingsReader) -> S) throws -> S {
        let reader = SettingsReader(environment: environment, file: settingsFile)
        _ = ProcessSettings(reader)
        let settings = make(reader)
        try reader.finish(known: knownSettings)
        declarations.withLockedValue { $0 = reader.declared }
        for setting in reader.declared where setting.source != .standard {
            log.info(
                "setting",
                metadata: [
                    Key.setting: "\(setting.key)", "value": "\(setting.value ?? "")",
                    Key.source: "\(setting.source)",
                ])
        }
        return settings
    }

    /// Every setting that was read, with its value in effect and where it came from.
    public var declaredSettings: [SettingDeclaration] { declarations.withLockedValue { $0 } }

    /// Asks the process to drain and end with exit code 0, as SIGTERM does.
    public func stop(_ reason: String) { stopRequest.fulfil(reason) }
}
