import ChaosEngine
import Foundation
import Runtime
import Servers

/// A command and its arguments.
typealias CommandLineWords = [String]

/// How a fault is made and undone, as commands that any process may run, in any order of lives.
struct FaultScript: Hashable, Sendable {
    var make: [CommandLineWords]
    /// May run though the fault was never made, and twice.
    var undo: [CommandLineWords]
}

/// A fault that is made here and undone by a healer.
struct ScriptedFault: ArmedFault {
    let commands: [CommandLineWords]
    let healer: Healer

    func make() async throws {
        for command in commands {
            guard let program = command.first else { continue }
            let (end, output) = try await ChildProcess.run(program, Array(command.dropFirst()), timeout: .seconds(60))
            guard end.isSuccess else {
                throw ChaosFailure("\(command.joined(separator: " ")): \(end): \(output.suffix(300))")
            }
        }
    }

    func undo() async throws { try await healer.heal() }
}

/// The suite of docker-compose.yml, hurt and healed by the Docker command line.
///
/// It is looked at through doorways, because a container that was down may come back at another's address.
struct ComposeTarget: ChaosTarget {
    /// One container of the project.
    struct Container: Hashable, Sendable {
        let service: String
        let name: String
        let address: String
        var network = ""
    }

    let project: String
    private let doorways: ComposeDoorways
    private let alertFiles: VolumeAlerts

    init(project: String) {
        self.project = project
        let doorways = ComposeDoorways()
        self.doorways = doorways
        alertFiles = VolumeAlerts { words in try await ComposeTarget.askAny(doorways.running, words) }
    }

    var hasStandby: Bool {
        get async throws { try await containers().contains { $0.service == "orchestrator-standby" } }
    }

    func places() async throws -> SuitePlaces {
        let all = try await containers()
        func doorway(to service: String, _ port: Int) async throws -> Int {
            guard let found = all.first(where: { $0.service == service }) else {
                throw ChaosFailure("\(service) does not run: docker compose --profile demo up -d --wait")
            }
            return try await doorways.port(to: found, port)
        }
        let orchestrators = all.filter { $0.service.hasPrefix("orchestrator") }
        guard let asked = orchestrators.first else { throw ChaosFailure("no orchestrator runs in project \(project)") }
        let file = try await Self.docker("exec", asked.name, "cat", "/etc/linesman/linesman.toml")
        let settings = SettingsReader(
            environment: [:], file: try SettingsFile(path: "linesman.toml of \(asked.name)", text: file))
        func value(_ key: String) throws -> String {
            guard let value = settings.optionalText(key, "") else { throw ChaosFailure("\(asked.name) has no \(key)") }
            return value
        }
        let user = try await Self.docker("exec", asked.name, "printenv", "PGUSER")
        let password = try await Self.docker("exec", asked.name, "printenv", "PGPASSWORD")
        var database = URLComponents()
        database.scheme = "postgresql"
        database.user = user
        database.password = password
        database.host = "127.0.0.1"
        database.port = try await doorway(to: "postgres", 5_432)
        database.path = "/\(try value("PGDATABASE"))"
        guard var redis = URLComponents(string: try value("REDIS_URL")) else {
            throw ChaosFailure("\(asked.name) has a REDIS_URL that cannot be read")
        }
        redis.port = try await doorway(to: "redis", redis.port ?? 6_379)
        redis.host = "127.0.0.1"
        var pages: [String] = []
        for orchestrator in orchestrators { pages.append(try await page(of: orchestrator)) }
        var venue: String?
        if let simulator = all.first(where: { $0.service == "venue-simulator" }) {
            let known = try await doorways.port(to: simulator, 8_081)
            venue = "http://127.0.0.1:\(known)/control"
        }
        return SuitePlaces(
            database: database.string ?? "", redis: redis.string ?? "", orchestrators: pages, venue: venue)
    }

    /// Where an orchestrator's status is asked for.
    private func page(of orchestrator: Container) async throws -> String {
        let port = try await doorways.port(to: orchestrator, 8_080)
        return "http://127.0.0.1:\(port)"
    }

    func findAgain() async throws { _ = try await running() }

    func watch() async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.alertFiles.run() }
            tasks.addTask { await self.followLost() }
        }
    }

    /// What was told to stop, or has ended, may come back before anybody says so.
    private func followLost() async {
        // Cancelled, it ends.
        while (try? await MachineClock.real.sleep(for: .seconds(1))) != nil {
            // Docker is asked again; a make or an undoing tells when it does not answer.
            if doorways.hasLost { _ = try? await running() }
        }
    }

    /// What only a suite of one's own can be done to.
    func obstacle(to fault: Fault) -> String? {
        switch (fault.kind, fault.part) {
        case (.fillDisk, _), (.stepClock, _): "only against private servers"
        case (.deafen, _): "one network carries Redis and PostgreSQL; only against private servers"
        case (_, .slack): "its alerts go where the operator says; only against private servers"
        default: nil
        }
    }

    let isBusy = false
    let isOwn = false

    func delivered() -> Set<String>? { nil }

    func filed() -> [Sample.Alert]? { alertFiles.take() }

    func watcherAge() -> Duration? { nil }

    /// Docker starts a process that ends again; the samples tell.
    func troubles() -> [String] { [alertFiles.trouble].compactMap { $0 } }

    func arm(
        _ fault: Fault, victims: [String], leader: String?, undoneAfter limit: Duration
    ) async throws -> any ArmedFault {
        if fault.part == .machine { return BusyLoops(count: ProcessInfo.processInfo.processorCount * 2) }
        let all = try await containers()
        if fault.part == .venue || fault.part == .scores {
            guard let venue = Self.control(all), let armed = VenueFault(fault.kind, at: venue, for: limit) else {
                throw ChaosFailure("no venue is simulated: docker compose --profile demo up -d --wait")
            }
            return armed
        }
        let leading = fault.part == .leader ? try await orchestrator(at: leader, all) : nil
        let hit = all.filter { container in
            switch fault.part {
            case .leader: container == leading
            case .orchestrators: container.service.hasPrefix("orchestrator")
            case .suite: Self.isOfSuite(container)
            default: victims.contains(container.service)
            }
        }
        guard !hit.isEmpty else { throw ChaosFailure("no container is \(victims.joined(separator: ", "))") }
        let memory = fault.kind == .starve ? try await Self.memoryLimit(of: hit[0].name) : ""
        let policy = fault.kind == .exhaust ? try await Self.restartPolicy(ofBounded: hit) : ""
        let script = Self.script(fault.kind, hit, memory: memory, policy: policy)
        let healing = { try Healer.arm(undoing: script.undo, after: limit, clock: .real) }
        let scripted = ScriptedFault(commands: script.make, healer: try healing())
        guard let pause = Self.pause(between: fault.kind) else { return scripted }
        return RepeatedFault(every: pause, clock: .real, undoing: scripted) { try await scripted.make() }
    }

    private func orchestrator(at address: String?, _ all: [Container]) async throws -> Container? {
        for one in all where one.service.hasPrefix("orchestrator") {
            if try await page(of: one) == address { return one }
        }
        return nil
    }

    private static func isOfSuite(_ container: Container) -> Bool {
        !["redis", "postgres", "venue-simulator", "prometheus", "grafana"].contains(container.service)
    }

    /// Of the simulator's own paths.
    private static func control(_ all: [Container]) -> String? {
        all.first { $0.service == "venue-simulator" }.map { "http://\($0.address):8081/control" }
    }

    private static func memoryLimit(of redis: String) async throws -> String {
        let answer = try await docker("exec", redis, "redis-cli", "CONFIG", "GET", "maxmemory")
        return answer.split(separator: "\n").last.map(String.init) ?? "0"
    }

    /// Whether Docker starts a container again by itself, of containers whose memory has a bound.
    ///
    /// - Throws: `ChaosFailure` when one has none: then the host's memory would run out.
    private static func restartPolicy(ofBounded containers: [Container]) async throws -> String {
        var policy = "no"
        for container in containers {
            let format = "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"
            let words = try await docker("inspect", "-f", format, container.name).split(separator: " ").map(String.init)
            guard let bytes = words.first.flatMap({ Int($0) }), (1...largestMemory).contains(bytes) else {
                throw ChaosFailure("\(container.name) may use more memory than a rehearsal is to use up: set its limit")
            }
            if words.count > 1 { policy = words[1] }
        }
        return policy
    }

    private static let largestMemory = 4 << 30

    /// Between one time and the next, of a fault that is made again and again.
    private static func pause(between kind: Fault.Kind) -> Duration? {
        switch kind {
        case .stutter: .milliseconds(50)
        case .terminate: .milliseconds(300)
        default: nil
        }
    }

    /// - Parameters:
    ///   - kind: what is to be done.
    ///   - containers: to which.
    ///   - memory: what Redis may take when it is not starved, in bytes.
    ///   - policy: whether Docker starts them again, as it is to be afterwards.
    /// - Returns: the commands; empty for what is no fault of containers.
    static func script(
        _ kind: Fault.Kind, _ containers: [Container], memory: String, policy: String = "unless-stopped"
    ) -> FaultScript {
        let names = containers.map(\.name)
        let started = [["docker", "start"] + names]
        // One that is not paused is no failure of the healing.
        let awake = names.map { ["sh", "-c", "docker unpause \"$1\" || docker start \"$1\"", "sh", $0] }
        func inside(_ words: String...) -> [CommandLineWords] { names.map { ["docker", "exec", $0] + words } }
        switch kind {
        // Docker starts a container that it has killed itself again only when it is told to.
        case .kill: return FaultScript(make: [["docker", "kill"] + names], undo: started)
        case .stop: return FaultScript(make: [["docker", "stop"] + names], undo: started)
        case .restart: return FaultScript(make: [["docker", "restart"] + names], undo: started)
        case .exhaust:
            // Docker would start at once what has ended in any other way than by its own commands.
            let alone: CommandLineWords = ["docker", "update", "--restart", "no"] + names
            let ended: [CommandLineWords] = names.map { ["sh", "-c", exhaustion, "sh", $0] }
            let restored: CommandLineWords = ["docker", "update", "--restart", policy] + names
            return FaultScript(make: [alone] + ended, undo: [restored] + started)
        case .freeze: return FaultScript(make: [["docker", "pause"] + names], undo: awake)
        case .stutter:
            let once = names.map { ["sh", "-c", "docker pause \"$1\" && sleep 0.15; docker unpause \"$1\"", "sh", $0] }
            // Whoever is interrupted between both leaves it paused, and Docker starts none that is.
            return FaultScript(make: once, undo: awake)
        case .partition:
            return FaultScript(
                make: containers.map { ["docker", "network", "disconnect", $0.network, $0.name] },
                undo: containers.map {
                    // One that was never taken off is connected already.
                    let command = "docker network connect --alias \"$1\" \"$2\" \"$3\" 2>&1 | grep -v already || true"
                    return ["sh", "-c", command, "sh", $0.service, $0.network, $0.name]
                })
        case .impersonate:
            return FaultScript(
                make: containers.map { ["sh", "-c", impersonation, "sh", $0.name, $0.network] },
                undo: containers.map {
                    // Who was replaced says nothing any more until it is started again.
                    let command = "docker rm --force \"$1-twin\"; docker restart \"$1\""
                    return ["sh", "-c", command, "sh", $0.name]
                })
        case .flush: return FaultScript(make: inside("redis-cli", "FLUSHALL"), undo: [])
        case .starve:
            return FaultScript(
                make: inside("redis-cli", "CONFIG", "SET", "maxmemory", "1"),
                undo: inside("redis-cli", "CONFIG", "SET", "maxmemory", memory))
        case .terminate:
            let statement =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                + "WHERE datname LIKE 'linesman%' AND pid <> pg_backend_pid()"
            // The container's own shell puts in the password, which its socket may ask for too.
            let psql =
                "PGPASSWORD=\"$POSTGRES_PASSWORD\" psql -q -h 127.0.0.1 -U \"$POSTGRES_USER\" -d postgres "
                + "-c \"\(statement)\""
            return FaultScript(make: inside("sh", "-c", psql), undo: [])
        default: return FaultScript(make: [], undo: [])
        }
    }

    /// Lets the memory of a container run out, and returns when the kernel has ended its first process for it.
    ///
    /// A neighbour in the container takes whatever it can get, and the kernel is told to prefer the other, as in a
    /// group of private servers (`MemoryGroup`). Docker does not always say why one was ended: SIGKILL is taken for it
    /// as well, which nobody else sends meanwhile.
    private static let exhaustion = """
        docker exec "$1" sh -c 'echo 1000 > /proc/1/oom_score_adj && exec tail /dev/zero' > /dev/null 2>&1
        n=0
        while [ "$n" -lt 100 ]; do
            case "$(docker inspect -f '{{.State.Running}} {{.State.OOMKilled}} {{.State.ExitCode}}' "$1")" in
                'false true '*|'false false 137') exit 0 ;;
            esac
            sleep 0.1
            n=$((n + 1))
        done
        echo "$1 lives on without memory"
        exit 1
        """

    /// Starts a second container with the image, the command, the settings and the volumes of another.
    ///
    /// The settings hold secrets: they are handed on without being written down, and are on no command line.
    private static let impersonation = """
        docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$1" | grep . |
            docker run --detach --name "$1-twin" --network "$2" --volumes-from "$1" --env-file /dev/stdin \
            "$(docker inspect -f '{{.Config.Image}}' "$1")" $(docker inspect -f '{{join .Config.Cmd " "}}' "$1")
        """

    /// Those that run, sorted by name.
    ///
    /// - Throws: `ChaosFailure` when none does.
    private func containers() async throws -> [Container] {
        let found = try await running()
        guard !found.isEmpty else {
            throw ChaosFailure("nothing runs in project \(project): docker compose --profile demo up -d --wait")
        }
        return found
    }

    /// As above, and none is an answer; the doorways lead there.
    private func running() async throws -> [Container] {
        let look = doorways.beginLook()
        let found = try await listed()
        doorways.endLook(look, found)
        return found
    }

    private func listed() async throws -> [Container] {
        let names = try await Self.docker(
            "ps", "--filter", "label=com.docker.compose.project=\(project)", "--format", "{{.Names}}")
        let listed = names.split(separator: "\n").map(String.init)
        guard !listed.isEmpty else { return [] }
        let format =
            "{{index .Config.Labels \"com.docker.compose.service\"}} {{.Name}} "
            + "{{range $name, $at := .NetworkSettings.Networks}}{{$at.IPAddress}} {{$name}}{{end}}"
        let lines = try await Self.docker(["inspect", "-f", format] + listed)
        return lines.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard words.count == 4 else { return nil }
            return Container(
                service: words[0], name: String(words[1].drop { $0 == "/" }), address: words[2], network: words[3])
        }.sorted { $0.name < $1.name }
    }

    /// Has one of those that run of the suite run a command, whichever can.
    ///
    /// - Throws: `ChaosFailure` when none can.
    private static func askAny(_ containers: [Container], _ words: CommandLineWords) async throws -> String {
        var trouble = "nothing of the suite runs"
        for container in containers where isOfSuite(container) {
            do {
                return try await docker(["exec", container.name] + words, timeout: .seconds(3))
            } catch {
                // One that is paused or has just ended cannot.
                if Task.isCancelled { throw error }
                trouble = "\(error)"
            }
        }
        throw ChaosFailure(trouble)
    }

    private static func docker(_ arguments: String...) async throws -> String { try await docker(arguments) }

    private static func docker(_ arguments: [String], timeout: Duration = .seconds(30)) async throws -> String {
        let (end, output) = try await ChildProcess.run("docker", arguments, timeout: timeout)
        guard end.isSuccess else {
            throw ChaosFailure("docker \(arguments.prefix(2).joined(separator: " ")): \(output.suffix(300))")
        }
        return output.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
