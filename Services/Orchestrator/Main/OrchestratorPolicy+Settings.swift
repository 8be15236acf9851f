import Hosting
import OrchestratorEngine

extension OrchestratorPolicy {
    /// The patience that the settings ask for.
    init(_ settings: OrchestratorSettings) {
        let pace = settings.reconciliation
        self.init(
            heartbeatInterval: settings.host.heartbeatInterval, shardTimeout: settings.shardTimeout,
            lease: settings.lease, serviceTimeout: settings.serviceTimeout, degradedAfter: settings.degradedAfter,
            recoverAfter: pace.recoverAfter, resendAfter: settings.commandResend, missingGrace: settings.missingGrace,
            zombieGrace: settings.zombieGrace, resyncDebounce: pace.resyncDebounce,
            gamesPerSecond: pace.gamesPerSecond, rebalanceAfter: pace.rebalanceAfter,
            breakerFailures: pace.breakerFailures, breakerCooldown: pace.breakerCooldown,
            breakerSuccesses: pace.breakerSuccesses, commitRetryAfter: pace.commitRetry,
            cyclesToAnswer: pace.cyclesToAnswer, scheduledWindow: settings.gameWindow,
            abandonAfter: pace.abandonAfter, holdSuspended: pace.holdSuspended, forgetAfter: pace.forgetAfter,
            // The pool's own health counts failures (DB_HEALTH_ALERT_THRESHOLD); what arrives here has been counted.
            databaseFailuresToAlert: 1)
    }
}
