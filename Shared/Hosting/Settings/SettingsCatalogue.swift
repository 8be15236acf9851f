import Alerting
import Runtime
import Venues

/// Every key of the suite: the settings file is shared, so each process must know the keys of the others.
public enum SettingsCatalogue {
    /// The settings of every process by its name; add a service here with its settings struct.
    public static let services: [(service: String, declare: @Sendable (SettingsReader) -> Void)] = [
        ("every service", { _ = HostSettings($0) }),
        ("alerts", { _ = AlertSettings($0) }),
        ("kalshi", { _ = KalshiSettings($0) }),
        ("score feed", { _ = ScoreboardSettings($0) }),
        ("game-shard", { _ = GameShardSettings($0) }),
        ("orchestrator", { _ = OrchestratorSettings($0) }),
        ("market-discovery", { _ = MarketDiscoverySettings($0) }),
        ("signal-processor", { _ = SignalProcessorSettings($0) }),
        ("execution-service", { _ = ExecutionServiceSettings($0) }),
        ("linesman up", { _ = SupervisorSettings($0) }),
    ]

    /// Read from defaults alone, so that keys, defaults and ranges are those of the code (CHECKLIST H20).
    public static let declarations: [(service: String, settings: [SettingDeclaration])] = services.map { entry in
        let reader = SettingsReader(environment: [:], file: nil)
        _ = ProcessSettings(reader)
        entry.declare(reader)
        return (entry.service, reader.declared)
    }

    public static let keys = Set(declarations.flatMap(\.settings).map(\.key))
}
