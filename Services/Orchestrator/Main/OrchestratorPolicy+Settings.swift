import Hosting
import OrchestratorEngine

extension OrchestratorPolicy {
    /// The patience that the settings ask for.
    init(_ settings: OrchestratorSettings) {
        self.init(
            heartbeatInterval: settings.host.heartbeatInterval, shardTimeout: settings.shardTimeout,
            lease: settings.lease, serviceTimeout: settings.serviceTimeout, degradedAfter: settings.degradedAfter,
            resendAfter: settings.commandResend, missingGrace: settings.missingGrace,
            zombieGrace: settings.zombieGrace, scheduledWindow: settings.gameWindow,
            // The pool's own health counts failures (DB_HEALTH_ALERT_THRESHOLD); what arrives here has been counted.
            databaseFailuresToAlert: 1)
    }
}
