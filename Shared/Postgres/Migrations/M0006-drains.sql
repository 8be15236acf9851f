-- Shards that an operator wants empty; a new leader goes on with it.
CREATE TABLE drained_shards (
    shard      TEXT PRIMARY KEY CHECK (shard <> ''),
    drained_by TEXT NOT NULL DEFAULT '',
    drained_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
