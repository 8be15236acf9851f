import ChaosEngine
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// The alert files of all processes of a deployment, read once a second out of the volume that they share.
///
/// Any container that mounts it may be asked: none of them must live for it.
final class VolumeAlerts: Sendable {
    private struct State {
        /// Nil until somebody has looked.
        var news: [Sample.Alert]?
        var looked: MachineInstant?
        var trouble = "nobody has looked"
    }

    /// For each file a line: its name, from which byte on, and what is there, in base 64.
    ///
    /// `$1` is the folder, `$2` where a file begins that is not known yet (`end` is its end), the rest `FILE=BYTES` for
    /// those that are. A file that was put aside meanwhile is read to its end under its new name.
    private static let script = """
        cd "$1" || exit 1
        begin=$2
        shift 2
        tell() { printf '%s %s ' "$1" "$2"; tail -c "+$(($2 + 1))" "$1" | base64 -w 0; echo; }
        for file in critical_alerts*.log; do
            [ -f "$file" ] || continue
            from=$begin
            for known in "$@"; do if [ "${known%=*}" = "$file" ]; then from=${known##*=}; fi; done
            size=$(wc -c < "$file")
            if [ "$from" = end ]; then from=$size; fi
            if [ "$size" -lt "$from" ]; then
                if [ -f "$file.1" ]; then tell "$file.1" "$from"; fi
                from=0
            fi
            tell "$file" "$from"
        done
        """
    private static let interval = Duration.seconds(1)
    /// So long a look may fail: a rehearsal that ends every process gives them back sooner.
    private static let patience = Duration.seconds(15)

    private let folder: String
    private let clock: MachineClock
    private let ask: @Sendable (CommandLineWords) async throws -> String
    private let state = NIOLockedValueBox(State())

    /// `ask` runs a command where the volume is, and gives what it wrote.
    init(
        in folder: String = "/var/log/linesman", clock: MachineClock = .real,
        _ ask: @escaping @Sendable (CommandLineWords) async throws -> String
    ) {
        self.folder = folder
        self.clock = clock
        self.ask = ask
    }

    /// Looks until cancelled; what was written before the first look is of another time.
    func run() async {
        var offsets: [String: Int]?
        state.withLockedValue { $0 = State() }
        repeat {
            do {
                let text = try await ask(Self.words(folder, offsets))
                // Whoever looks next has begun anew.
                if Task.isCancelled { return }
                var known = offsets ?? [:]
                let alerts = Self.news(text, &known)
                offsets = known
                note(alerts)
            } catch {
                let trouble = "\(error)"
                state.withLockedValue { $0.trouble = trouble }
            }
        } while (try? await clock.sleep(for: Self.interval)) != nil  // cancelled: it ends
    }

    private func note(_ alerts: [Sample.Alert]) {
        let now = clock.now
        state.withLockedValue { state in
            state.looked = now
            state.news = (state.news ?? []) + alerts
        }
    }

    /// What was written since it was asked last; nil until somebody has looked.
    func take() -> [Sample.Alert]? {
        state.withLockedValue { state in
            guard let news = state.news else { return nil }
            state.news = []
            return news
        }
    }

    /// Why a round was held without them; nil when it was not.
    var trouble: String? {
        let now = clock.now
        return state.withLockedValue { state in
            if let looked = state.looked, now.since(looked) < Self.patience { return nil }
            return "the alert files were not read: \(state.trouble)"
        }
    }

    // MARK: - Words

    /// The command of a look; without offsets it is the first.
    static func words(_ folder: String, _ offsets: [String: Int]?) -> CommandLineWords {
        let known = (offsets ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return ["sh", "-c", script, "sh", folder, offsets == nil ? "end" : "0"] + known
    }

    /// What such a command wrote; moves the offsets past each whole line.
    static func news(_ text: String, _ offsets: inout [String: Int]) -> [Sample.Alert] {
        var alerts: [Sample.Alert] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            // Docker's own warnings come the same way.
            guard words.count == 2 || words.count == 3, words[0].hasPrefix("critical_alerts"),
                let from = Int(words[1]), let data = words.count == 3 ? Data(base64Encoded: words[2]) : Data()
            else { continue }
            let (told, length) = AlertFiles.lines(in: data)
            alerts += told
            if words[0].hasSuffix(".log") { offsets[words[0]] = from + length }
        }
        return alerts
    }
}
