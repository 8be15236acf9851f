-- How far the list of what a venue has paid the account was read, in venue time (decision 0078).
ALTER TABLE reconciliations ADD COLUMN settlements_read_to BIGINT;
COMMENT ON COLUMN reconciliations.settlements_read_to IS 'microseconds since 1970; null before it was read whole';
