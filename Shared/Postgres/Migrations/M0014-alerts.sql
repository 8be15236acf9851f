-- Alerts that follow from what was committed with them, until somebody is known to have them (decision 0075).
CREATE TABLE alerts_to_tell (
    alert_id   TEXT PRIMARY KEY CHECK (alert_id <> ''),
    alert      JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX alerts_to_tell_by_age ON alerts_to_tell (created_at);
COMMENT ON COLUMN alerts_to_tell.alert IS 'as the orchestrator is told';
