import CryptoExtras
import Foundation
import Runtime

/// Signs requests to Kalshi: RSA-PSS with SHA-256 over time, method and path (WIRE 1.2).
public struct KalshiSigner: Sendable {
    private let key: _RSA.Signing.PrivateKey
    private let keyID: Secret
    private let wall: WallClock

    /// - Throws: `VenueError.signing` for a text that is no RSA private key in PEM form; the text is never quoted.
    public init(keyID: Secret, privateKeyPEM: Secret, wall: WallClock) throws(VenueError) {
        do {
            key = try _RSA.Signing.PrivateKey(pemRepresentation: privateKeyPEM.value)
        } catch {
            throw VenueError(.signing, message: "the private key is not an RSA key in PEM form")
        }
        self.keyID = keyID
        self.wall = wall
    }

    /// The three headers of a request, its method in capitals, its path with `/trade-api/v2` but without host; a query
    /// is cut off.
    public func headers(method: String, path: String) throws(VenueError) -> [(String, String)] {
        let milliseconds = String(wall.microseconds / 1_000)
        let bare = path.prefix { $0 != "?" }
        do {
            let signature = try key.signature(for: Data("\(milliseconds)\(method)\(bare)".utf8), padding: .PSS)
            return [
                ("KALSHI-ACCESS-KEY", keyID.value),
                ("KALSHI-ACCESS-TIMESTAMP", milliseconds),
                ("KALSHI-ACCESS-SIGNATURE", signature.rawRepresentation.base64EncodedString()),
            ]
        } catch {
            throw VenueError(.signing, message: "the request could not be signed")
        }
    }
}
