-- The last version of a rule that a signal-processor understood: a typing error lifts no bar, also over a restart.
ALTER TABLE trading_rules ADD COLUMN understood JSONB NULL;
COMMENT ON COLUMN trading_rules.understood IS 'its conditions and action; written by the signal-processor';
