import Foundation
import Servers
import Testing

/// Certificates signed by an authority of our own, `ca`, and a second authority, `other-ca`, made by openssl.
public struct TestCertificates {
    private let folder: TemporaryDirectory

    /// Makes a certificate for each name, for the hosts beside it as openssl writes them (`DNS:localhost`); fails the
    /// test where openssl does not.
    public init(for servers: KeyValuePairs<String, String>) throws {
        folder = try TemporaryDirectory("tls")
        for authority in ["ca", "other-ca"] {
            try run([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=\(authority)",
                "-keyout", path("\(authority).key"), "-out", path("\(authority).crt"),
            ])
        }
        for (name, hosts) in servers {
            try "subjectAltName=\(hosts)\n".write(toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
            try run([
                "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=\(name)", "-keyout", path("\(name).key"),
                "-out", path("\(name).csr"),
            ])
            try run([
                "x509", "-req", "-in", path("\(name).csr"), "-CA", path("ca.crt"), "-CAkey", path("ca.key"),
                "-CAcreateserial", "-days", "2", "-extfile", path("\(name).ext"), "-out", path("\(name).crt"),
            ])
        }
    }

    public func path(_ file: String) -> String { "\(folder.path)/\(file)" }

    /// Gives a key to the user that the server runs as, who may then also look into the folder.
    public func give(_ key: String, to owner: String) throws {
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
        var attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        if geteuid() == 0 { attributes[.ownerAccountName] = owner }
        try FileManager.default.setAttributes(attributes, ofItemAtPath: path(key))
    }

    public func remove() { folder.remove() }

    private func run(_ arguments: [String]) throws {
        let openssl = Process()
        openssl.executableURL = URL(filePath: "/usr/bin/openssl")
        openssl.arguments = arguments
        openssl.standardError = FileHandle.nullDevice
        openssl.standardOutput = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        try #require(openssl.terminationStatus == 0, "\(arguments)")
    }
}
