import AsyncHTTPClient
import Domain
import Foundation
import NIOCore
import NIOHTTP1
import Recording
import Runtime
import Servers
import TestKit

/// The simulated venue as a process, and its own book to hold ours against.
struct OrderVenue: Sendable {
    /// What becomes of a client order id that was used before.
    enum Duplicates: String, Sendable, CaseIterable {
        case refuse
        case accept
    }

    struct Order: Decodable, Sendable {
        let orderId: String
        let clientOrderId: String
        let status: String
        let fillCountFp: String
    }

    struct Fill: Decodable, Sendable {
        let fillId: String
        let orderId: String
        let clientOrderId: String
        let countFp: String
        let yesPriceDollars: String
        let feeCost: String
    }

    struct Position: Decodable, Sendable {
        let ticker: String
        let positionFp: String
    }

    struct Account: Decodable, Sendable {
        let opening: String
        let cash: String
    }

    private struct Ports: Decodable { let http: Int }
    private struct Orders: Decodable { let cursor: String, orders: [Order] }
    private struct Fills: Decodable { let cursor: String, fills: [Fill] }
    private struct Positions: Decodable { let marketPositions: [Position] }
    private struct Statistics: Decodable {
        let account: Account
        let faults: [String: Int]
    }

    let process: ChildProcess
    let port: Int

    /// Starts it, and lets it play in wall time.
    static func start(
        in folder: String, executables: String, _ duplicates: Duplicates,
        playing recorded: (VenueInstant) throws -> Recording
    ) async throws -> OrderVenue {
        let start = VenueInstant.epoch.advanced(by: .seconds(Int64(Date().timeIntervalSince1970)))
        let recording = "\(folder)/orders.recording"
        try recorded(start).text.write(toFile: recording, atomically: true, encoding: .utf8)
        let ready = "\(folder)/venue.json"
        var environment = [
            "SIMULATOR_RECORDING": recording, "SIMULATOR_READY_FILE": ready, "SIMULATOR_BALANCE": "100000000",
            "SIMULATOR_DUPLICATES": duplicates.rawValue, "TMPDIR": folder,
        ]
        for key in ["PATH", "HOME", "LD_LIBRARY_PATH"] { environment[key] = ProcessInfo.processInfo.environment[key] }
        let process = try ChildProcess.spawn(
            "\(executables)/venue-simulator", environment: environment, directory: folder,
            output: .file("\(folder)/venue-simulator.log"))
        try await eventually(within: .seconds(120), "the venue listens") {
            FileManager.default.fileExists(atPath: ready)
        }
        let data = FileManager.default.contents(atPath: ready) ?? Data()
        let venue = OrderVenue(process: process, port: try JSONDecoder().decode(Ports.self, from: data).http)
        try await venue.send("/control/start", .POST)
        return venue
    }

    // MARK: Faults

    /// Arms what the venue does wrong from now on: answers lost, late, cut off and refused with 503.
    func arm(_ faults: [OrderFault], seed: UInt64) async throws {
        for (index, fault) in faults.enumerated() {
            var body: [String: Any] = [
                "kind": fault.kind, "probability": fault.probability, "seed": seed &+ UInt64(index) & 0xFFFF_FFFF,
            ]
            body["target"] = fault.target
            body["delay_ms"] = fault.delay
            try await send("/control/faults", .POST, try JSONSerialization.data(withJSONObject: body))
        }
    }

    func disarm() async throws { try await send("/control/faults", .DELETE) }

    /// How often which fault has struck.
    func struck() async throws -> [String: Int] { try await statistics().faults }

    // MARK: Its book

    func account() async throws -> Account { try await statistics().account }

    private func statistics() async throws -> Statistics { try await get("/control/stats") }

    func orders() async throws -> [Order] {
        try await pages("orders") { (page: Orders) in (page.cursor, page.orders) }
    }

    func fills() async throws -> [Fill] {
        try await pages("fills") { (page: Fills) in (page.cursor, page.fills) }
    }

    func positions() async throws -> [Position] {
        let all: Positions = try await get("/trade-api/v2/portfolio/positions")
        return all.marketPositions
    }

    private func pages<Page: Decodable, Item>(
        _ name: String, _ items: (Page) -> (cursor: String, items: [Item])
    ) async throws -> [Item] {
        var all: [Item] = []
        var cursor = ""
        repeat {
            let page: Page = try await get("/trade-api/v2/portfolio/\(name)?limit=1000&cursor=\(cursor)")
            let (next, more) = items(page)
            all += more
            cursor = next
        } while !cursor.isEmpty
        return all
    }

    private func get<Body: Decodable>(_ path: String) async throws -> Body {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Body.self, from: try await send(path, .GET))
    }

    @discardableResult
    private func send(_ path: String, _ method: HTTPMethod, _ body: Data? = nil) async throws -> Data {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        request.method = method
        if let body { request.body = .bytes(ByteBuffer(data: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        let data = Data(buffer: try await response.body.collect(upTo: 64 << 20))
        guard (200..<300).contains(response.status.code) else {
            throw NotInTime(description: "the venue answers \(response.status) to \(path)")
        }
        return data
    }
}

/// One kind of trouble at the venue, and how often it comes.
public struct OrderFault: Sendable {
    let kind: String
    let probability: Double
    var target: String?
    /// In milliseconds.
    var delay: Int?

    private static let submits = "POST /trade-api/v2/portfolio/events/orders"

    /// 5 % of the acknowledgements lost, and the rest of what a venue does on a bad day.
    public static let usual = [
        OrderFault(kind: "lostAcknowledgement", probability: 0.05),
        OrderFault(kind: "slowHTTP", probability: 0.02, target: submits, delay: 60),
        OrderFault(kind: "reset", probability: 0.01, target: submits),
        OrderFault(kind: "refuse", probability: 0.01),
        OrderFault(kind: "wrongStatus", probability: 0.005, target: submits),
        OrderFault(kind: "hang", probability: 0.001, target: submits),
        OrderFault(kind: "reset", probability: 0.01, target: "GET /trade-api/v2/portfolio"),
    ]

    /// Fills that cannot be read: the order is at the venue, and stays open here.
    static let unreadableFills = OrderFault(
        kind: "wrongStatus", probability: 1, target: "GET /trade-api/v2/portfolio/fills")
}
