CREATE TABLE consumer_positions (
    consumer TEXT PRIMARY KEY CHECK (consumer <> ''),
    position JSONB NOT NULL,
    saved_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON COLUMN consumer_positions.consumer IS 'service and channel';
INSERT INTO consumer_positions (consumer, position)
    SELECT DISTINCT ON (consumer) consumer, message_id::jsonb FROM consumed
    WHERE consumer = 'signal-processor/signals:new' ORDER BY consumer, at DESC;
DELETE FROM consumed WHERE consumer = 'signal-processor/signals:new';
