import Hosting
import Runtime

await ProcessRunner.run(service: "execution-service", knownSettings: SettingsCatalogue.keys) { context in
    try await ExecutionProcess.start(in: context, makeVenue: VenueFactory.make)
}
