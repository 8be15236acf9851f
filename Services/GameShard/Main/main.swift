import Hosting
import Runtime
import Venues

await ProcessRunner.run(service: "game-shard", knownSettings: SettingsCatalogue.keys) { context in
    let (settings, venues) = try context.settings { (GameShardSettings($0), VenueSettings($0)) }
    let host = try await ServiceHost.start(settings.host, in: context)
    let feeds = try VenueFeeds(venues, pollInterval: settings.pollInterval, host)
    let shard = try GameShard(settings, feeds, host)
    shard.start()
    try shard.sendHeartbeats()
}
