-- Fills of orders that we do not know become ours because a person says so (decision 0082).

-- What a person asks for; the execution-service carries it out after its next look, and answers.
CREATE TABLE adoption_requests (
    number      BIGSERIAL PRIMARY KEY,
    account     TEXT NOT NULL CHECK (account <> ''),
    venue       TEXT NOT NULL CHECK (venue <> ''),
    fills       JSONB NOT NULL DEFAULT '[]',
    reason      TEXT NOT NULL,
    asked_by    TEXT NOT NULL,
    asked_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    answered_at TIMESTAMPTZ NULL,
    answered_by TEXT NULL,
    answer      JSONB NULL,
    CONSTRAINT adoption_requests_answered_whole
        CHECK ((answered_at IS NULL) = (answer IS NULL) AND (answered_at IS NULL) = (answered_by IS NULL))
);
CREATE INDEX adoption_requests_open ON adoption_requests (account, venue, number) WHERE answered_at IS NULL;
COMMENT ON COLUMN adoption_requests.fills IS 'identifiers; empty for all';
COMMENT ON COLUMN adoption_requests.answer IS 'one line for each fill: its order, or why it is not adopted';

ALTER TABLE foreign_fills ADD COLUMN fee BIGINT NULL;
COMMENT ON COLUMN foreign_fills.fee IS '1/1000000 dollar; null when the venue did not say, and in older rows';
ALTER TABLE foreign_fills ADD COLUMN adopted_at TIMESTAMPTZ NULL;
ALTER TABLE foreign_fills ADD COLUMN order_id TEXT NULL REFERENCES orders (order_id);
COMMENT ON COLUMN foreign_fills.order_id IS 'the order of ours that it was adopted under';
CREATE INDEX foreign_fills_by_order ON foreign_fills (account, venue, venue_order_id);
