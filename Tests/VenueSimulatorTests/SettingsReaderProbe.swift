import Runtime

@testable import VenueSimulator

enum SettingsReaderProbe {
    /// The keys that the simulator's settings refuse.
    static func problems(_ values: [String: String]) -> [String] {
        let reader = SettingsReader(environment: values)
        _ = SimulatorSettings(reader)
        do { try reader.finish() } catch { return error.problems.map(\.key).sorted() }
        return []
    }
}
