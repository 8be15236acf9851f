extension PostgresError {
    /// What whoever reads the error can do about it; nil when the message says all.
    public var advice: String? {
        if let sqlState { return Self.advice(sqlState) ?? Self.advice(code, context) }
        return Self.advice(code, context)
    }

    private static func advice(_ sqlState: String) -> String? {
        switch sqlState {
        case "28P01": "check user and password in DATABASE_URL, or PGUSER and PGPASSWORD"
        case "28000": "check user and sslmode in DATABASE_URL, and the server's pg_hba.conf"
        case "3D000": "create the database, or correct its name in DATABASE_URL or PGDATABASE"
        case "53300": "lower DB_POOL_MAX_CONNECTIONS of the services, or raise the server's max_connections"
        case "42P01", "42703": "check that this build's migrations have been run on this database"
        case "22003": "the number is too large for its column: check the value, or widen the column"
        case "22021", "22P05": "the text is not valid UTF-8: check where it comes from"
        case "22P02", "22007", "22008", "22P03": "the value does not fit its type: check where it comes from"
        case "55P03": "somebody holds the lock for longer than DB_LOCK_TIMEOUT_MS"
        default: nil
        }
    }

    private static func advice(_ code: Code, _ context: String) -> String? {
        switch code {
        case .reconnect, .unavailable:
            context == "connecting" || code == .unavailable
                ? "check that the server runs and that DATABASE_URL or PGHOST and PGPORT lead to it" : nil
        case .acquireTimeout:
            "shorten what holds connections, or raise DB_POOL_MAX_CONNECTIONS or DB_POOL_ACQUIRE_TIMEOUT_SECS"
        case .deadlineExceeded: "check what the server is busy with, or allow more time"
        case .unknownCommit: "look for the row by its key before writing again"
        case .encoding: "correct the value before it is sent"
        case .decoding: "ask for the column as the type that it has"
        default: nil
        }
    }
}
