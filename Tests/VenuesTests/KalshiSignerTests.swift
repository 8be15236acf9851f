import CryptoExtras
import Foundation
import Resilience
import Runtime
import Testing

@testable import Venues

@Suite struct KalshiSignerTests {
    @Test func `the signature covers time, method and path without the query`() throws {
        let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        let signer = try KalshiSigner(
            keyID: Secret("key-1"), privateKeyPEM: Secret(key.pemRepresentation), wall: .fixed(1_787_421_686_758_123))
        let headers = Dictionary(
            try signer.headers(method: "GET", path: "/trade-api/v2/portfolio/fills?limit=5"),
            uniquingKeysWith: { first, _ in first })
        #expect(headers["KALSHI-ACCESS-KEY"] == "key-1")
        #expect(headers["KALSHI-ACCESS-TIMESTAMP"] == "1787421686758")
        let signature = _RSA.Signing.RSASignature(
            rawRepresentation: try #require(Data(base64Encoded: headers["KALSHI-ACCESS-SIGNATURE"] ?? "")))
        let signed = Data("1787421686758GET/trade-api/v2/portfolio/fills".utf8)
        #expect(key.publicKey.isValidSignature(signature, for: signed, padding: .PSS))
        let other = Data("1787421686758GET/trade-api/v2/portfolio/fills?limit=5".utf8)
        #expect(!key.publicKey.isValidSignature(signature, for: other, padding: .PSS))
    }

    @Test func `a bad key is refused without being quoted`() {
        let error = #expect(throws: VenueError.self) {
            try KalshiSigner(keyID: Secret("k"), privateKeyPEM: Secret("hunter2"), wall: .fixed(0))
        }
        #expect(error?.code == .signing)
        #expect(error.map { "\($0)".contains("hunter2") } == false)
    }

    @Test func `settings take a key from a file and want both halves`() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("key-\(UUID()).pem")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("pem".utf8).write(to: file)
        let whole = SettingsReader(environment: [
            "KALSHI_API_KEY": "k", "KALSHI_PRIVATE_KEY_PATH": file.path, "KALSHI_ENV": "demo",
        ])
        let settings = KalshiSettings(whole)
        try whole.finish()
        #expect(settings.privateKey?.value == "pem")
        #expect(settings.baseURL == "https://external-api.demo.kalshi.co/trade-api/v2" && settings.isRealHost)
        let half = SettingsReader(environment: ["KALSHI_API_KEY": "k"])
        _ = KalshiSettings(half)
        #expect(throws: SettingsError.self) { try half.finish() }
    }

    @Test func `the WebSocket of a venue of one's own is found beside its REST address`() throws {
        let reader = SettingsReader(environment: ["KALSHI_BASE_URL": "http://127.0.0.1:8123/trade-api/v2/"])
        let settings = KalshiSettings(reader)
        try reader.finish()
        #expect(settings.baseURL == "http://127.0.0.1:8123/trade-api/v2")
        #expect(settings.webSocketURL == "ws://127.0.0.1:8123/trade-api/ws/v2")
        #expect(!settings.isRealHost)
        // Its clock may be a recording's, unless orders are real.
        let clocks = (wall: WallClock.real, machine: MachineClock.real)
        for isLive in [false, true] {
            let watch = settings.watch(isLive: isLive, wall: clocks.wall, clock: clocks.machine) { _ in }
            #expect((watch != nil) == isLive)
        }
    }
}
