import Hosting
import Runtime

await ProcessRunner.run(service: "signal-processor", knownSettings: SettingsCatalogue.keys) { context in
    try await SignalProcess.start(in: context)
}
