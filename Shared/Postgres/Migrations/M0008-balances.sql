-- What a venue itself lets an account spend, as it said when it was last asked; a venue without a row was not asked.
CREATE TABLE venue_balances (
    account   TEXT NOT NULL CHECK (account <> ''),
    venue     TEXT NOT NULL CHECK (venue <> ''),
    available BIGINT NOT NULL,
    asked_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, venue)
);
COMMENT ON COLUMN venue_balances.asked_at IS 'before the question was sent: fills booked since are not in the answer';
