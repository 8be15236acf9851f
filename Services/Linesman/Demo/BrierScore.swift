/// The mean squared distance of a probability from what happened: 0 is perfect, 0.25 is a coin.
enum BrierScore {
    /// - Returns: nil without a forecast.
    static func of(_ forecasts: [Double], happened: Bool) -> Double? {
        guard !forecasts.isEmpty else { return nil }
        let outcome = happened ? 1.0 : 0.0
        return forecasts.map { ($0 - outcome) * ($0 - outcome) }.reduce(0, +) / Double(forecasts.count)
    }
}
