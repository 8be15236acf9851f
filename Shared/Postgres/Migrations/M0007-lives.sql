-- Which process of a shard's name may trade: the one that started last.
CREATE TABLE shard_lives (
    shard       TEXT PRIMARY KEY CHECK (shard <> ''),
    incarnation TEXT NOT NULL CHECK (incarnation <> ''),
    started_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
