import Testing

/// What every container of docker-compose.yml may do and must not, with what it takes over from anchors.
@Suite struct DeploymentHardeningTests {
    private struct Block {
        let name: String
        var text: String
    }

    /// Top-level entries of a section whose names stand two columns in, or of the file where they stand in none.
    private static func blocks(of text: some StringProtocol, indent: String) -> [Block] {
        var found: [Block] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix(indent),
                let match = String(line.dropFirst(indent.count)).wholeMatch(of: /([a-z][a-z0-9-]*):.*/)
            {
                found.append(Block(name: String(match.1), text: ""))
            }
            if !found.isEmpty, !line.drop(while: { $0 == " " }).hasPrefix("#") {
                found[found.count - 1].text += line + "\n"
            }
        }
        return found
    }

    /// Services, each with the text of what it takes over.
    private static func services() throws -> [String: String] {
        let file = try DeploymentFilesTests.text("docker-compose.yml")
        let top = blocks(of: file, indent: "")
        let section = try #require(top.first { $0.name == "services" }).text.drop { $0 != "\n" }
        let services = blocks(of: section, indent: "  ")
        var anchors: [String: String] = [:]
        for block in top + services {
            if let match = block.text.firstMatch(of: /^ *[a-z0-9-]+: &([a-z-]+)\n/) {
                anchors[String(match.1)] = block.text
            }
        }
        func whole(_ text: String) -> String {
            let taken = text.matches(of: /(?m)^ {2,4}<<: \*([a-z-]+)$/).compactMap { anchors[String($0.1)] }
            return ([text] + taken.map(whole)).joined()
        }
        return Dictionary(uniqueKeysWithValues: services.map { ($0.name, whole($0.text)) })
    }

    @Test func `every container has as few rights and as much room as it needs, and says whether it is well`() throws {
        let services = try Self.services()
        #expect(services.count >= 13)
        for (name, text) in services.sorted(by: { $0.key < $1.key }) {
            for line in [
                "read_only: true", "cap_drop: [ALL]", "security_opt: [\"no-new-privileges:true\"]", "max-size: ",
                "max-file: ", "healthcheck:", "restart: ",
            ] { #expect(text.contains(line), "\(name): \(line)") }
            #expect(text.contains("deploy: *small") || text.contains("limits: {cpus: "), "\(name) has no bounds")
            for word in ["privileged:", "read_only: false", "network_mode:", "pid: host", "user: root", "docker.sock"] {
                #expect(!text.contains(word), "\(name): \(word)")
            }
            #expect(name == "postgres" || !text.contains("cap_add:"), "\(name)")
            for ports in text.matches(of: /ports: \["([^"]+)"/) {
                #expect(ports.1.hasPrefix("127.0.0.1:"), "\(name) is published to everybody: \(ports.1)")
            }
        }
        // What only writes a file and ends is not started again.
        let ending = services.filter { $0.value.contains("restart: \"no\"") }.keys.sorted()
        #expect(ending == ["demo-settings", "settings"])
    }

    @Test func `the image is built by one service, and no other settings are written under a suite that runs`() throws {
        let services = try Self.services()
        let building = services.filter { $0.value.contains("\n    build: .") }.keys.sorted()
        #expect(building == ["market-discovery"], "others would build it at the same moment")
        for (name, text) in services where text.contains("image: linesman:") {
            #expect(text.contains("pull_policy: never"), "\(name)")
        }
        let asks = "for name in orchestrator signal-processor execution-service; do"
        for name in ["settings", "demo-settings"] {
            let text = try #require(services[name])
            #expect(text.contains(asks), "\(name)")
            #expect(text.contains("grep -qs linesman_demo /etc/linesman/linesman.toml && runs;"), "\(name)")
        }
        #expect(services["demo-settings"]?.contains("exit 1") == true)
        let restarting = services.filter { $0.value.contains("service_completed_successfully, restart: true}") }.keys
        #expect(Set(restarting).isSuperset(of: Self.writing(services)))
    }

    /// Services that write to PostgreSQL.
    private static func writing(_ services: [String: String]) -> Set<String> {
        let programs = ["orchestrator", "market-discovery", "signal-processor", "execution-service", "game-shard"]
        return Set(services.filter { _, text in programs.contains { text.contains("command: [\($0)]") } }.keys)
    }

    @Test func `who restores a backup stops everybody who writes`() throws {
        let writing = Self.writing(try Self.services())
        #expect(writing.count == 7)
        let text = try DeploymentFilesTests.text("docs/OPERATIONS.md")
        let begin = try #require(text.range(of: "To restore, with the kill switch engaged"))
        let stop = try #require(text[begin.upperBound...].firstMatch(of: /\ndocker compose .*stop (.+)\n/))
        #expect(Set(stop.1.split(separator: " ").map(String.init)) == writing)
        #expect(stop.0.contains("--profile ha"))
    }

    @Test func `what must outlive a container is on a volume`() throws {
        let file = try DeploymentFilesTests.text("docker-compose.yml")
        let volumes = try #require(Self.blocks(of: file, indent: "").first { $0.name == "volumes" })
        let services = try Self.services()
        for (name, mounted) in [
            ("redis", "redis:/data"), ("postgres", "postgres:/var/lib/postgresql/data"),
            ("orchestrator", "alerts:/var/log/linesman"), ("shard-01", "journal:/var/lib/linesman"),
            ("execution-service", "kill-switch:/run/linesman"), ("signal-processor", "settings:/etc/linesman:ro"),
        ] {
            #expect(services[name]?.contains(mounted) == true, "\(name): \(mounted)")
            #expect(volumes.text.contains("\n  \(mounted.prefix { $0 != ":" }):\n"), "\(mounted)")
        }
        #expect(services["redis"]?.contains("--appendonly\n      - \"yes\"") == true)
        // Where the processes are told to write is where these are.
        for setting in [
            "ALERT_LOG_PATH: /var/log/linesman/", "DB_JOURNAL_PATH: /var/lib/linesman/",
            "KILL_SWITCH_FILE: /run/linesman/",
        ] { #expect(file.contains("\n    \(setting)"), "\(setting)") }
    }
}
