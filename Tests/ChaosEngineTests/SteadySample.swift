import ChaosEngine

extension Sample {
    /// Two games on two shards, all well, of which nothing more is known.
    static let steady = Sample(
        truth: Truth(
            term: 1, games: [Game("a", owner: "shard-01", epoch: 1), Game("b", owner: "shard-02", epoch: 1)]),
        shards: [
            Beat("shard-01", isHealthy: true, age: .zero, games: ["a": 1]),
            Beat("shard-02", isHealthy: true, age: .zero, games: ["b": 1]),
        ],
        services: ["execution-service", "market-discovery", "orchestrator", "signal-processor"]
            .map { Beat($0, isHealthy: true, age: .zero) }, checks: ["redis": true, "database": true])
}
