import Foundation

/// What a Prometheus that watches the suite says of a span of days.
struct PrometheusFigures: Sendable {
    private struct Answer: Decodable {
        struct Found: Decodable {
            struct Series: Decodable {
                /// Time and number; the number is text.
                let value: [Value]
            }

            let result: [Series]
        }

        enum Value: Decodable {
            case time
            case number(Double)

            init(from decoder: any Decoder) throws {
                let value = try decoder.singleValueContainer()
                guard let text = try? value.decode(String.self) else {
                    self = .time
                    return
                }
                self = .number(Double(text) ?? .nan)
            }
        }

        let data: Found
    }

    let url: String
    let days: Int

    /// - Throws: what asking or reading failed with.
    func ask() async throws -> [Reliability.Figure] {
        let uptime = try await number("min(avg_over_time(up{job=\"linesman\"}[\(days)d]))")
        let connected = try await number("min(avg_over_time(redis_connected[\(days)d]))")
        let reconnects = try await number("sum(increase(redis_reconnects_total[\(days)d]))")
        let away = try await number("sum(redis_connected == bool 0)")
        let recovered = try await number("sum(increase(db_transactions_recovered[\(days)d]))")
        let givenUp = try await number("sum(increase(db_transactions_given_up[\(days)d]))")
        let dropped = try await number("sum(increase(alerts_dropped_total[\(days)d]))")
        return [
            Self.share("uptime of the worst process", uptime, atLeast: 0.999),
            Self.share("connected to Redis, worst connection", connected, atLeast: 0.999),
            Self.part("lost connections to Redis made again", of: reconnects, and: away),
            Self.part("database calls that a retry saved", of: recovered, and: givenUp, atLeast: 0.99),
            Reliability.Figure(
                name: "alerts that a sink never got", value: dropped.map { $0.formatted(decimals: 0) } ?? "-",
                wanted: "0", isMet: dropped.map { $0 < 0.5 }),
        ]
    }

    private static func share(_ name: String, _ share: Double?, atLeast wanted: Double) -> Reliability.Figure {
        Reliability.Figure(
            name: name, value: share.map { Reliability.percent($0) } ?? "-", wanted: Reliability.percent(wanted),
            isMet: share.map { $0 >= wanted })
    }

    /// - `good`, `bad`: how often it went well and did not; Prometheus interpolates, so they are no whole numbers.
    private static func part(
        _ name: String, of good: Double?, and bad: Double?, atLeast wanted: Double = 1
    ) -> Reliability.Figure {
        let good = (good ?? 0).rounded()
        let all = good + (bad ?? 0).rounded()
        return Reliability.Figure(
            name: name, value: "\(good.formatted(decimals: 0)) of \(all.formatted(decimals: 0))",
            wanted: wanted == 1 ? "all" : Reliability.percent(wanted), isMet: all > 0 ? good >= all * wanted : nil)
    }

    /// Nil without a series.
    private func number(_ query: String) async throws -> Double? {
        guard var address = URLComponents(string: "\(url)/api/v1/query") else { throw URLError(.badURL) }
        address.queryItems = [URLQueryItem(name: "query", value: query)]
        guard let asked = address.string else { throw URLError(.badURL) }
        let answer: Answer = try await LocalHTTP().get(asked.replacingOccurrences(of: "+", with: "%2B"))
        guard case .number(let number)? = answer.data.result.first?.value.last, number.isFinite else { return nil }
        return number
    }
}
