import Domain
import OrchestratorEngine
import Resilience
import Testing

/// Who is judged dead and when, and which alerts say so.
@Suite struct JudgementTests {
    private let discovery = Event.serviceHeartbeat(
        .init(service: "market-discovery", instance: "m1", incarnation: "m-1", status: .healthy))

    @Test func `while our own bus is down no shard is judged dead, nor one lease and one heartbeat after`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1])
        fleet.beat("s2")
        fleet.send(.bus(isUp: false))
        fleet.pass(.seconds(30))
        #expect(fleet.changes.count == 1)
        #expect(fleet.notes.isEmpty)
        fleet.send(.bus(isUp: true))
        fleet.beat("s2")
        fleet.pass(.milliseconds(2_300))
        #expect(fleet.notes.isEmpty)
        fleet.pass(.milliseconds(400))
        #expect(fleet.notes.contains(.shardDead("s1", games: ["g1"])))
    }

    // CHECKLIST N4.
    @Test func `a Redis outage of 30 seconds moves no game`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1])
        fleet.send(.bus(isUp: false))
        fleet.pass(.seconds(30))
        fleet.send(.bus(isUp: true))
        _ = fleet.take()
        fleet.pass(.seconds(5), hearing: [.init(shard: "s1", games: ["g1": 1]), .init(shard: "s2")])
        #expect(fleet.changes.isEmpty && fleet.commands.isEmpty && fleet.notes.isEmpty)
    }

    @Test func `who hears again, but nobody yet, sentences nobody for as long as a service may be silent`() {
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        fleet.send(.bus(isUp: false))
        fleet.pass(.seconds(30))
        fleet.send(.bus(isUp: true))
        fleet.pass(.milliseconds(9_900))
        #expect(fleet.notes.isEmpty && fleet.raised.isEmpty)
        fleet.pass(.milliseconds(200))
        #expect(fleet.notes.count == 3 && fleet.raised.contains(.allShardsUnhealthy))
    }

    @Test(arguments: [ReportedStatus.degraded, .unhealthy])
    func `what shards say of an outage for all right after it is not believed before it lasts`(_ said: ReportedStatus) {
        let ill = [Fleet.Beat(shard: "s1", games: ["g1": 1], status: said, failedChecks: ["redis"])]
        let well = [Fleet.Beat(shard: "s1", games: ["g1": 1])]
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.pass(.seconds(3), hearing: well + [.init(shard: "s2")])
        // Redis away for all: the last word before, or the first one after it.
        fleet.pass(.seconds(4), hearing: ill)
        fleet.send(.bus(isUp: false))
        fleet.pass(.seconds(30))
        fleet.send(.bus(isUp: true))
        fleet.send(discovery)
        fleet.pass(.seconds(4), hearing: ill)
        fleet.pass(.seconds(1), hearing: well)
        // The database: nobody led, and the shards went on saying it.
        fleet.send(.leadershipLost)
        fleet.pass(.seconds(30), hearing: ill)
        fleet.send(.rehydrated([Fleet.desired("g1", on: "s1", epoch: 1)], term: 2))
        fleet.send(discovery)
        fleet.pass(.seconds(4), hearing: ill)
        #expect(fleet.raised.isEmpty && fleet.changes.count == 1 && fleet.state.shards.count == 2)
        // What goes on under our eyes counts.
        fleet.pass(.milliseconds(1_500), hearing: ill)
        #expect(fleet.notes.contains(.shardDegraded("s1", failedChecks: ["redis"])))
        #expect(fleet.raised == [.allShardsUnhealthy])
    }

    @Test func `an orchestrator that was stopped does not sentence who it could not hear`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1])
        fleet.pass(.milliseconds(300))
        fleet.now = fleet.now.advanced(by: .seconds(20))
        fleet.send(.tick)
        fleet.beat("s1", ["g1": 1])
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1", games: ["g1": 1])])
        #expect(fleet.notes.isEmpty)
    }

    @Test func `all shards dead is one alert with their number, and a recovery`() throws {
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.pass(.seconds(3), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        #expect(fleet.raised.isEmpty)
        fleet.pass(.seconds(4))
        let alert = try #require(
            fleet.effects.first { if case .raiseAlert(.allShardsUnhealthy, _, _) = $0 { true } else { false } })
        if case .raiseAlert(_, let fingerprint, let facts) = alert {
            #expect(fingerprint == "AllShardsUnhealthy")
            #expect(facts["total_shards"] == "2" && facts["dead_shards"] == "2")
        }
        #expect(fleet.raised == [.allShardsUnhealthy])
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1")])
        #expect(fleet.recovered == [.allShardsUnhealthy])
    }

    // CHECKLIST R60.
    @Test func `half of the shards dead is no fleet alert`() {
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.pass(.seconds(2), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        fleet.pass(.seconds(6), hearing: [.init(shard: "s2")])
        #expect(fleet.raised.isEmpty)
    }

    @Test func `a fleet that is still starting is not alerted`() {
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.discover([Fleet.game("g1")])
        fleet.pass(.seconds(8))
        fleet.send(discovery)
        fleet.pass(.seconds(2), hearing: [.init(shard: "s1")])
        #expect(fleet.raised.isEmpty)
    }

    @Test func `no market discovery is alerted and recovers`() {
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.pass(.milliseconds(9_900), hearing: [.init(shard: "s1")])
        #expect(fleet.raised.isEmpty)
        fleet.pass(.milliseconds(300), hearing: [.init(shard: "s1")])
        #expect(fleet.raised == [.noMarketDiscoveryServices])
        #expect(fleet.notes.contains(.serviceDead(service: "market-discovery", instance: "m1")))
        fleet.send(discovery)
        fleet.pass(.milliseconds(100))
        #expect(fleet.recovered == [.noMarketDiscoveryServices])
    }

    @Test func `a market discovery that is restarted is no alert, one that stops for good is`() {
        var fleet = Fleet()
        let stopping = Event.serviceHeartbeat(
            .init(service: "market-discovery", instance: "m1", incarnation: "m-1", status: .stopping))
        let again = Event.serviceHeartbeat(
            .init(service: "market-discovery", instance: "m1", incarnation: "m-2", status: .healthy))
        fleet.pass(.seconds(12), hearing: [.init(shard: "s1")])
        fleet.send(discovery)
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1")])
        let before = fleet.raised.count
        fleet.send(stopping)
        fleet.pass(.seconds(9), hearing: [.init(shard: "s1")])
        fleet.send(again)
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1")])
        #expect(fleet.raised.count == before)
        fleet.send(stopping)
        fleet.pass(.milliseconds(10_200), hearing: [.init(shard: "s1")])
        #expect(fleet.raised.dropFirst(before) == [.noMarketDiscoveryServices])
    }

    @Test func `what only a leader judges is handed over when another leads, not before, and not what anybody sees`() {
        var fleet = Fleet()
        fleet.send(.dependency(.redis, isHealthy: false))
        fleet.pass(.seconds(11), hearing: [.init(shard: "s1")])
        #expect(fleet.raised == [.redisConnectivityIssue, .noMarketDiscoveryServices])
        fleet.send(.leadershipLost)
        fleet.pass(.seconds(5), hearing: [.init(shard: "s1")])
        #expect(fleet.handedOver.isEmpty && fleet.recovered.isEmpty)
        fleet.send(.anotherLeads)
        #expect(fleet.handedOver == [.allShardsUnhealthy, .noMarketDiscoveryServices, .capacityExhausted])
        #expect(fleet.state.alerts.map(\.kind) == ["RedisConnectivityIssue"])
        fleet.send(discovery)
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1")])
        #expect(fleet.recovered.isEmpty)
        fleet.send(.dependency(.redis, isHealthy: true))
        #expect(fleet.recovered == [.redisConnectivityIssue])
    }

    @Test func `who leads again before anybody else did ends its own alerts as before`() {
        var fleet = Fleet()
        fleet.pass(.seconds(11), hearing: [.init(shard: "s1")])
        #expect(fleet.raised == [.noMarketDiscoveryServices])
        fleet.send(.leadershipLost)
        fleet.send(.rehydrated([], term: 2))
        fleet.send(.anotherLeads)
        fleet.send(discovery)
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1")])
        #expect(fleet.raised == [.noMarketDiscoveryServices] && fleet.recovered == [.noMarketDiscoveryServices])
        #expect(fleet.handedOver.isEmpty)
    }

    @Test func `services too are not judged by the deaf`() {
        var fleet = Fleet()
        fleet.send(discovery)
        fleet.send(.bus(isUp: false))
        fleet.pass(.seconds(60))
        fleet.send(.bus(isUp: true))
        fleet.pass(.seconds(9))
        #expect(!fleet.notes.contains(.serviceDead(service: "market-discovery", instance: "m1")))
    }

    @Test func `Redis is alerted at once, the database after three failures, each once, and recovers`() {
        var fleet = Fleet()
        fleet.send(.dependency(.redis, isHealthy: true))
        fleet.send(.dependency(.redis, isHealthy: false))
        fleet.send(.dependency(.redis, isHealthy: false))
        #expect(fleet.raised == [.redisConnectivityIssue])
        fleet.send(.dependency(.postgres, isHealthy: false))
        fleet.send(.dependency(.postgres, isHealthy: false))
        #expect(fleet.raised == [.redisConnectivityIssue])
        // Without the database there is no leadership, and the alert must go out all the same.
        fleet.send(.leadershipLost)
        fleet.send(.dependency(.postgres, isHealthy: false))
        fleet.send(.dependency(.postgres, isHealthy: false))
        #expect(fleet.raised == [.redisConnectivityIssue, .databaseConnectivityIssue])
        fleet.send(.dependency(.redis, isHealthy: true))
        fleet.send(.dependency(.postgres, isHealthy: true))
        #expect(fleet.recovered == [.redisConnectivityIssue, .databaseConnectivityIssue])
    }

    @Test func `who led last tells of the database, however late that is judged, until another leads`() {
        for isFollowed in [false, true] {
            var fleet = Fleet()
            fleet.send(.leadershipLost)
            let others = (1...2).map { number in
                Event.serviceHeartbeat(
                    .init(service: "orchestrator", instance: "o\(number)", incarnation: "life-1", status: .healthy))
            }
            for _ in 1...20 {
                for other in others { fleet.send(other) }
                // The pool counts its failures first, and says that all is well until they are enough.
                fleet.send(.dependency(.postgres, isHealthy: true))
                fleet.pass(.seconds(1))
            }
            if isFollowed { fleet.send(.anotherLeads) }
            for _ in 1...3 { fleet.send(.dependency(.postgres, isHealthy: false)) }
            #expect(fleet.raised == (isFollowed ? [] : [.databaseConnectivityIssue]))
        }
    }

    @Test func `a standby leaves the alerts to the leader`() {
        var fleet = Fleet()
        fleet.send(.leadershipLost)
        fleet.send(.anotherLeads)
        for _ in 1...5 {
            fleet.send(.dependency(.redis, isHealthy: false))
            fleet.send(.dependency(.postgres, isHealthy: false))
        }
        #expect(fleet.raised.isEmpty)
    }

    @Test func `who takes over tells what failed before it led`() {
        var fleet = Fleet()
        fleet.send(.leadershipLost)
        fleet.send(.anotherLeads)
        fleet.send(.dependency(.redis, isHealthy: false))
        fleet.pass(.seconds(1))
        #expect(fleet.raised.isEmpty)
        fleet.send(.rehydrated([], term: 2))
        fleet.pass(.seconds(1))
        #expect(fleet.raised == [.redisConnectivityIssue])
        fleet.send(.dependency(.redis, isHealthy: true))
        #expect(fleet.recovered == [.redisConnectivityIssue])
    }

    @Test(arguments: [1, 2]) func `a standby tells that the database is away when no other orchestrator is heard`(
        _ orchestrators: Int
    ) {
        var fleet = Fleet()
        fleet.send(.leadershipLost)
        fleet.send(.anotherLeads)
        for _ in 1...3 { fleet.send(.dependency(.postgres, isHealthy: false)) }
        for second in 1...25 {
            for number in 1...orchestrators where number == 1 || second <= 10 {
                fleet.send(
                    .serviceHeartbeat(
                        .init(
                            service: "orchestrator", instance: "o\(number)", incarnation: "life-1", status: .healthy)))
            }
            fleet.pass(.seconds(1))
            if second == 9 { #expect(fleet.raised.isEmpty) }
            if second == 15 { #expect(fleet.raised.isEmpty == (orchestrators == 2)) }
        }
        #expect(fleet.raised == [.databaseConnectivityIssue])
        fleet.send(.dependency(.postgres, isHealthy: true))
        #expect(fleet.recovered == [.databaseConnectivityIssue])
    }

    @Test func `a dead shard that holds nothing is forgotten after an hour`() {
        var policy = OrchestratorPolicy()
        policy.forgetAfter = .seconds(60)
        var fleet = Fleet(policy)
        fleet.beat("s1")
        fleet.pass(.seconds(30))
        #expect(fleet.state.shards.map(\.status) == ["dead"])
        fleet.pass(.seconds(31))
        #expect(fleet.state.shards.isEmpty)
    }
}
