-- A halt for the loss of the day stops what opens positions and lets exits pass (decision 0083).
ALTER TABLE kill_switch ADD COLUMN reduce_only_at TIMESTAMPTZ NULL;
COMMENT ON COLUMN kill_switch.reduce_only_at IS 'equal to changed_at while only what opens is stopped; else of no effect';
ALTER TABLE kill_switch_acknowledgements DROP CONSTRAINT kill_switch_acknowledgements_sees_check;
ALTER TABLE kill_switch_acknowledgements ADD CONSTRAINT kill_switch_acknowledgements_sees_check
    CHECK (sees IN ('released', 'engaged', 'reduce_only', 'unknown'));
