import Logging
import NIOConcurrencyHelpers

/// What an operator may change in a running process, by SIGHUP.
final class ReloadHooks: Sendable {
    typealias Hook = @Sendable (SettingsReader) -> @Sendable () async -> Void

    private let hooks = NIOLockedValueBox<[(name: String, prepare: Hook)]>([])

    func add(_ name: String, _ prepare: @escaping Hook) { hooks.withLockedValue { $0.append((name, prepare)) } }

    var all: [(name: String, prepare: Hook)] { hooks.withLockedValue { $0 } }
}

extension ProcessContext {
    /// Reads these settings again at SIGHUP, from the settings file as it is then.
    ///
    /// The environment of a running process cannot change, and it wins: what is to be changed in a running process
    /// belongs in the file. Nothing is applied unless everything that is read again is valid.
    public func onReload<S: Sendable>(
        _ name: String, _ make: @escaping @Sendable (SettingsReader) -> S,
        apply: @escaping @Sendable (S) async -> Void
    ) {
        reloads.add(name) { reader in
            let settings = make(reader)
            return { await apply(settings) }
        }
    }

    /// What SIGHUP does; a file that is not valid changes nothing.
    public func reload() async {
        do {
            let file = try ProcessRunner.settingsFile(environment)
            let reader = SettingsReader(environment: environment, file: file)
            let prepared = reloads.all.map { (name: $0.name, apply: $0.prepare(reader)) }
            try reader.finish(known: knownSettings.union(declaredSettings.map(\.key)))
            for hook in prepared { await hook.apply() }
            log.info("settings read again", metadata: [Key.count: "\(prepared.count)"])
        } catch {
            log.error("settings not read again", metadata: [Key.error: "\(error)"])
        }
    }
}
