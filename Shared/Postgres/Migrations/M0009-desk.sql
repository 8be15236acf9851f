-- What all execution-services share besides the orders themselves, and who has seen the kill switch.

-- Exits are counted apart, so that entries cannot use up what exits need.
ALTER TABLE orders ADD COLUMN reduces BOOLEAN NOT NULL DEFAULT false;
COMMENT ON COLUMN orders.reduces IS 'could only make a position smaller when it was stored';
CREATE INDEX orders_by_venue_time ON orders (venue_at);

-- What may still be asked of a venue in one account, by every process together; read under its lock.
CREATE TABLE account_budgets (
    account       TEXT NOT NULL CHECK (account <> ''),
    venue         TEXT NOT NULL CHECK (venue <> ''),
    full_at       BIGINT NOT NULL DEFAULT 0,
    blocked_until BIGINT NOT NULL DEFAULT 0,
    refusals      INT NOT NULL DEFAULT 0 CHECK (refusals >= 0),
    PRIMARY KEY (account, venue)
);
COMMENT ON COLUMN account_budgets.full_at IS 'when every token is back, in this database''s time, microseconds since 1970';
COMMENT ON COLUMN account_budgets.blocked_until IS 'the venue said it was too much, as full_at';

CREATE TABLE kill_switch_acknowledgements (
    service     TEXT NOT NULL CHECK (service <> ''),
    instance    TEXT NOT NULL CHECK (instance <> ''),
    incarnation TEXT NOT NULL,
    sees        TEXT NOT NULL CHECK (sees IN ('released', 'engaged', 'unknown')),
    at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (service, instance)
);
