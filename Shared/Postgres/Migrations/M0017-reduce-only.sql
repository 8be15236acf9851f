-- A halt for the loss of the day stops what opens positions and lets exits pass (decision 0083).
ALTER TABLE kill_switch ADD COLUMN reduce_only_at TIMESTAMPTZ NULL;
COMMENT ON COLUMN kill_switch.reduce_only_at IS 'equal to changed_at while only what opens is stopped; else of no effect';
ALTER TABLE kill_switch_acknowledgements ADD COLUMN reduce_only_at TIMESTAMPTZ NULL;
COMMENT ON COLUMN kill_switch_acknowledgements.reduce_only_at IS 'equal to at where engaged means that exits pass';
