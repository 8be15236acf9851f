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
        let lost = try await number("sum(increase(redis_events_total{event=\"lost\"}[\(days)d]))")
        let failed = try await number("sum(increase(redis_events_total{event=\"attempt_failed\"}[\(days)d]))")
        let recovered = try await number("sum(increase(db_transactions_recovered[\(days)d]))")
        let givenUp = try await number("sum(increase(db_transactions_given_up[\(days)d]))")
        let dropped = try await number("sum(increase(alerts_dropped_total[\(days)d]))")
        let taken = try await number("sum(increase(alert_delivery_seconds_count[\(days)d]))")
        // Newer versions of Prometheus write the bound as 30.0.
        let soon = try await number(
            "sum(increase(alert_delivery_seconds_bucket{le=~\"30|30[.]0\"}[\(days)d]))")
        return [
            Self.share("uptime of the worst process", uptime, atLeast: 0.999),
            Self.share("connected to Redis, worst connection", connected, atLeast: 0.999),
            Self.again(reconnects, of: lost, failed: failed),
            Self.share("database calls that a retry saved", recovered, of: (recovered ?? 0) + (givenUp ?? 0)),
            Reliability.Figure(
                name: "alerts that a sink never got", value: dropped.map { $0.formatted(decimals: 0) } ?? "-",
                wanted: "0", isMet: dropped.map { $0 < 0.5 }),
            Self.share("alerts at a sink within 30 s", soon, of: taken ?? 0),
        ]
    }

    private static func share(_ name: String, _ share: Double?, atLeast wanted: Double) -> Reliability.Figure {
        Reliability.Figure(
            name: name, value: share.map { Reliability.percent($0) } ?? "-", wanted: Reliability.percent(wanted),
            isMet: share.map { $0 >= wanted })
    }

    /// Losses and connects of the same days (CHECKLIST R99): a connection that was never made again counts for all of
    /// them, and not only while it is down.
    private static func again(_ made: Double?, of lost: Double?, failed: Double?) -> Reliability.Figure {
        let lost = (lost ?? 0).rounded()
        let made = min((made ?? 0).rounded(), lost)
        let attempts = (failed ?? 0).rounded().formatted(decimals: 0)
        return Reliability.Figure(
            name: "lost connections to Redis made again",
            value: "\(counts(made, of: lost)), \(attempts) attempts failed", wanted: Reliability.percent(0.95),
            isMet: lost > 0 ? made >= lost * 0.95 : nil)
    }

    /// 99 of 100 at least; Prometheus interpolates, so how often something was is no whole number.
    private static func share(_ name: String, _ good: Double?, of all: Double) -> Reliability.Figure {
        let all = all.rounded()
        let good = min((good ?? 0).rounded(), all)
        return Reliability.Figure(
            name: name, value: counts(good, of: all), wanted: Reliability.percent(0.99),
            isMet: all > 0 ? good >= all * 0.99 : nil)
    }

    private static func counts(_ good: Double, of all: Double) -> String {
        "\(good.formatted(decimals: 0)) of \(all.formatted(decimals: 0))"
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
