import ArgumentParser

/// The operator's command line.
@main
struct LinesmanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "linesman",
        abstract: "Trades live prediction markets on sports games, and stays correct while things break.",
        subcommands: [
            UpCommand.self, DemoCommand.self, ChaosCommand.self, ChaosHealCommand.self, StatusCommand.self,
            HealthCommand.self, WhyCommand.self, AuditCommand.self, DrainCommand.self, ReassignCommand.self,
            KillSwitchCommand.self, ReconcileCommand.self, AccountCommand.self, LimitsCommand.self, TermsCommand.self,
            DeadLettersCommand.self, StatisticsCommand.self, RecordCommand.self, SimulateCommand.self,
            ConfigCommand.self, CheckCommand.self,
        ])
}
