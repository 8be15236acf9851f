import Hosting
import Runtime
import Testing

@Suite struct TradingSettingsTests {
    private func read(_ environment: [String: String]) throws -> TradingMode {
        let reader = SettingsReader(environment: environment, file: nil)
        let settings = TradingSettings(reader)
        try reader.finish()
        return settings.mode
    }

    @Test func `nothing set trades on paper`() throws {
        #expect(try read([:]) == .paper)
    }

    @Test func `one flag alone is refused, and says which other one live trading needs`() {
        let error = #expect(throws: SettingsError.self) { try read(["PAPER_TRADING": "false"]) }
        #expect(error?.problems.contains { $0.message.contains("LIVE_TRADING_AUTHORIZED") } == true)
        #expect(throws: SettingsError.self) { try read(["PAPER_TRADING": "0", "LIVE_TRADING_AUTHORIZED": "0"]) }
    }

    @Test func `both flags together are live, the authorisation alone is still paper, shadow wins over both`() throws {
        #expect(try read(["PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true"]) == .live)
        #expect(try read(["LIVE_TRADING_AUTHORIZED": "true"]) == .paper)
        let shadow = ["PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true", "SHADOW_TRADING": "true"]
        #expect(try read(shadow) == .shadow)
    }
}

@Suite struct SettingsCatalogueTests {
    @Test func `every key has one default and one meaning, whoever reads it`() {
        var seen: [String: (service: String, standard: String?, help: String)] = [:]
        for (service, settings) in SettingsCatalogue.declarations {
            for setting in settings {
                #expect(!setting.help.isEmpty, "\(setting.key)")
                if let before = seen[setting.key] {
                    #expect(before.standard == setting.standard, "\(setting.key) in \(before.service) and \(service)")
                    #expect(before.help == setting.help, "\(setting.key) in \(before.service) and \(service)")
                }
                seen[setting.key] = (service, setting.standard, setting.help)
            }
        }
        for key in ["REDIS_URL", "DATABASE_URL", "PAPER_TRADING", "HEARTBEAT_INTERVAL_SECS", "ALERT_LOG_PATH"] {
            #expect(seen[key] != nil, "\(key)")
        }
    }
}
