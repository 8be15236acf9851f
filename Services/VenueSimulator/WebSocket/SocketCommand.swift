import Domain
import Foundation

/// What a client asks of its connection.
struct SocketCommand: Hashable, Sendable {
    enum Update: String, Hashable, Sendable {
        case addMarkets = "add_markets"
        case deleteMarkets = "delete_markets"
        case getSnapshot = "get_snapshot"
    }

    enum Kind: Hashable, Sendable {
        case subscribe([FrameChannel], [MarketID])
        case unsubscribe([Int])
        case update(Int, Update, [MarketID])
        case list
    }

    let id: Int64
    let kind: Kind
}

/// An `error` frame: the venue's code and text (WIRE 1.5).
struct SocketError: Error, Hashable, Sendable {
    enum Code: Int, Hashable, Sendable, CaseIterable {
        case unableToProcess = 1
        case paramsRequired = 2
        case channelsRequired = 3
        case subscriptionsRequired = 4
        case unknownCommand = 5
        case alreadySubscribed = 6
        case unknownSubscription = 7
        case unknownChannel = 8
        case invalidParameter = 11
        case oneSubscription = 12
        case unsupportedAction = 13
        case marketTickerRequired = 14
        case actionRequired = 15
        case marketNotFound = 16

        var text: String {
            switch self {
            case .unableToProcess: "Unable to process message"
            case .paramsRequired: "Params required"
            case .channelsRequired: "Channels required"
            case .subscriptionsRequired: "Subscription IDs required"
            case .unknownCommand: "Unknown command"
            case .alreadySubscribed: "Already subscribed"
            case .unknownSubscription: "Unknown subscription ID"
            case .unknownChannel: "Unknown channel name"
            case .invalidParameter: "Invalid parameter"
            case .oneSubscription: "Exactly one subscription ID is required"
            case .unsupportedAction: "Unsupported action"
            case .marketTickerRequired: "Market Ticker required"
            case .actionRequired: "Action required"
            case .marketNotFound: "Market not found"
            }
        }
    }

    /// Of the command; nil when it could not be read.
    let id: Int64?
    let code: Code
    let text: String

    init(_ id: Int64?, _ code: Code, _ text: String? = nil) {
        self.id = id
        self.code = code
        self.text = text ?? code.text
    }
}

extension SocketCommand {
    /// Reads a command, in the order in which the venue checks it.
    static func decode(_ text: String) -> Result<SocketCommand, SocketError> {
        struct Command: Decodable {
            var id: Int64?
            var cmd: String?
            var params: Params?
        }
        guard let command = try? JSONDecoder.venue.decode(Command.self, from: Data(text.utf8)), let id = command.id
        else {
            return .failure(SocketError(nil, .unableToProcess))
        }
        do throws(SocketError) {
            switch command.cmd {
            case "subscribe": return .success(SocketCommand(id: id, kind: try subscribe(id, command.params)))
            case "unsubscribe":
                guard let params = command.params else { throw SocketError(id, .paramsRequired) }
                guard let sids = params.sids, !sids.isEmpty else { throw SocketError(id, .subscriptionsRequired) }
                return .success(SocketCommand(id: id, kind: .unsubscribe(sids)))
            case "update_subscription": return .success(SocketCommand(id: id, kind: try update(id, command.params)))
            case "list_subscriptions": return .success(SocketCommand(id: id, kind: .list))
            default: throw SocketError(id, .unknownCommand)
            }
        } catch {
            return .failure(error)
        }
    }

    private struct Params: Decodable {
        var channels: [String]?
        var marketTicker: String?
        var marketTickers: [String]?
        var sid: Int?
        var sids: [Int]?
        var action: String?

        func markets(_ id: Int64) throws(SocketError) -> [MarketID] {
            var markets: [MarketID] = []
            for ticker in (marketTicker.map { [$0] } ?? []) + (marketTickers ?? []) {
                guard let market = try? MarketID(ticker) else { throw SocketError(id, .marketNotFound) }
                markets.append(market)
            }
            return markets
        }
    }

    private static func subscribe(_ id: Int64, _ params: Params?) throws(SocketError) -> Kind {
        guard let params else { throw SocketError(id, .paramsRequired) }
        guard let names = params.channels, !names.isEmpty else { throw SocketError(id, .channelsRequired) }
        var channels: [FrameChannel] = []
        for name in names {
            guard let channel = FrameChannel(rawValue: name) else { throw SocketError(id, .unknownChannel) }
            channels.append(channel)
        }
        return .subscribe(channels, try params.markets(id))
    }

    private static func update(_ id: Int64, _ params: Params?) throws(SocketError) -> Kind {
        guard let params else { throw SocketError(id, .paramsRequired) }
        let sids = (params.sid.map { [$0] } ?? []) + (params.sids ?? [])
        guard sids.count == 1 else { throw SocketError(id, .oneSubscription) }
        guard let name = params.action else { throw SocketError(id, .actionRequired) }
        guard let action = Update(rawValue: name) else { throw SocketError(id, .unsupportedAction) }
        let markets = try params.markets(id)
        if markets.isEmpty, action != .getSnapshot { throw SocketError(id, .marketTickerRequired) }
        return .update(sids[0], action, markets)
    }
}
