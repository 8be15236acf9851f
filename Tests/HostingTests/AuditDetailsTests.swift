import Foundation
import Testing

@testable import Hosting

struct AuditDetailsTests {
    @Test(
        arguments: [
            [:], ["quantity": "4.00"], ["reason": "a \"quoted\" \\ reason", "a\"b": "", "state": "sent"],
            ["lines": "one\ntwo\r\t\u{1}\u{1F}\u{7F}", "name": "Zürich – 東京 🏀", "slash": "</script>"],
        ] as [[String: String]])
    func `details are JSON as Foundation reads it`(_ details: [String: String]) throws {
        #expect(try JSONDecoder().decode([String: String].self, from: Data(details.json.utf8)) == details)
    }
}
