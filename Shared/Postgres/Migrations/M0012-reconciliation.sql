-- What the newest comparison of our books with a venue's found; its history is in the audit.
CREATE TABLE reconciliations (
    account       TEXT NOT NULL CHECK (account <> ''),
    venue         TEXT NOT NULL CHECK (venue <> ''),
    verdict       TEXT NOT NULL CHECK (verdict IN ('equal', 'differs', 'waiting', 'unreachable', 'own_books')),
    reason        TEXT NOT NULL DEFAULT '',
    looked_by     TEXT NOT NULL,
    looked_at     TIMESTAMPTZ NOT NULL,
    equal_at      TIMESTAMPTZ NULL,
    differs_since TIMESTAMPTZ NULL,
    orders        BIGINT NOT NULL DEFAULT 0,
    fills         BIGINT NOT NULL DEFAULT 0,
    positions     BIGINT NOT NULL DEFAULT 0,
    balance       BIGINT NULL,
    venue_balance BIGINT NULL,
    compared_to   BIGINT NULL,
    differences   JSONB NOT NULL DEFAULT '[]',
    halted_for    JSONB NOT NULL DEFAULT '[]',
    PRIMARY KEY (account, venue)
);
COMMENT ON COLUMN reconciliations.looked_at IS 'before the venue was asked';
COMMENT ON COLUMN reconciliations.compared_to IS 'venue time: orders and fills before it are known to be equal';
COMMENT ON COLUMN reconciliations.halted_for IS 'names of what engaged the kill switch; empty once equal';

-- A person asks for a look now; whoever looks next takes it.
CREATE TABLE reconciliation_requests (
    account   TEXT NOT NULL CHECK (account <> ''),
    venue     TEXT NOT NULL CHECK (venue <> ''),
    wanted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (account, venue)
);

-- What differs rightly, because a person has said so: contracts and money in the account that are not ours.
CREATE TABLE reconciliation_accepted (
    account     TEXT NOT NULL CHECK (account <> ''),
    venue       TEXT NOT NULL CHECK (venue <> ''),
    code        TEXT NOT NULL CHECK (code <> ''),
    subject     TEXT NOT NULL,
    amount      BIGINT NULL,
    reason      TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    accepted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (account, venue, code, subject)
);
COMMENT ON COLUMN reconciliation_accepted.amount IS
    'how much the venue has more: 1/100 contract of YES for a position, 1/1000000 dollar for the balance';

-- Fills in the account of orders that are not ours: kept, since nothing that a venue says is dropped.
CREATE TABLE foreign_fills (
    account        TEXT NOT NULL CHECK (account <> ''),
    venue          TEXT NOT NULL CHECK (venue <> ''),
    fill_id        TEXT NOT NULL CHECK (fill_id <> ''),
    venue_order_id TEXT NOT NULL,
    market_id      TEXT NOT NULL,
    bought         TEXT NULL CHECK (bought IN ('yes', 'no')),
    yes_price      BIGINT NOT NULL CHECK (yes_price BETWEEN 0 AND 10000),
    quantity       BIGINT NOT NULL CHECK (quantity > 0),
    venue_at       BIGINT NOT NULL,
    seen_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (account, venue, fill_id)
);
COMMENT ON COLUMN foreign_fills.market_id IS 'of any market, also one that we never traded';
