import Hosting
import Runtime

await ProcessRunner.run(service: "game-shard", knownSettings: SettingsCatalogue.keys) { context in
    let settings = try context.settings(GameShardSettings.init)
    let host = try await ServiceHost.start(settings.host, in: context)
    let shard = try GameShard(settings, host)
    let claimedAt = try await shard.commands.store.claim()
    shard.start()
    shard.sendHeartbeats(claimedAt: claimedAt)
}
