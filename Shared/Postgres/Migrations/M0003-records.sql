CREATE TABLE trading_rules (
    rule_id     TEXT PRIMARY KEY CHECK (rule_id <> ''),
    kind        TEXT NOT NULL CHECK (kind <> ''),
    conditions  JSONB NOT NULL,
    action      JSONB NOT NULL,
    status      TEXT NOT NULL CHECK (status <> ''),
    expires_at  TIMESTAMPTZ NULL,
    match_count BIGINT NOT NULL DEFAULT 0 CHECK (match_count >= 0)
);

-- Append only; a row's hash may be added once, to chain it to the row before.
CREATE TABLE audit_log (
    id            BIGSERIAL PRIMARY KEY,
    at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    event         TEXT NOT NULL CHECK (event <> ''),
    intent_id     TEXT NULL,
    order_id      TEXT NULL,
    market_id     TEXT NULL,
    game_id       TEXT NULL,
    details       JSONB NOT NULL DEFAULT '{}',
    previous_hash BYTEA NULL,
    hash          BYTEA NULL
);
CREATE INDEX audit_log_by_intent ON audit_log (intent_id) WHERE intent_id IS NOT NULL;
CREATE INDEX audit_log_by_order ON audit_log (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX audit_log_by_game ON audit_log (game_id, id) WHERE game_id IS NOT NULL;

CREATE FUNCTION audit_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.hash IS NULL
        AND (NEW.id, NEW.at, NEW.event, NEW.intent_id, NEW.order_id, NEW.market_id, NEW.game_id,
        NEW.details)
        IS NOT DISTINCT FROM (OLD.id, OLD.at, OLD.event, OLD.intent_id, OLD.order_id, OLD.market_id,
        OLD.game_id, OLD.details) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit row % stays as it was written', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_append_only';
END $$;
CREATE TRIGGER audit_log_guard BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_guard();

-- One row, read FOR SHARE by the transaction that stores an order. No row means unknown: engaged.
CREATE TABLE kill_switch (
    id         SMALLINT PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    engaged    BOOLEAN NOT NULL,
    reason     TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
INSERT INTO kill_switch (engaged, reason, changed_by) VALUES (false, 'initial state', 'migration');

-- What is to be announced, written with the change it announces. Order is kept per key.
CREATE TABLE outbox (
    id           BIGSERIAL PRIMARY KEY,
    topic        TEXT NOT NULL CHECK (topic <> ''),
    key          TEXT NOT NULL,
    message_type TEXT NOT NULL CHECK (message_type <> ''),
    payload      JSONB NOT NULL,
    trace        TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    published_at TIMESTAMPTZ NULL
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX outbox_unpublished_by_key ON outbox (key, id) WHERE published_at IS NULL;
COMMENT ON COLUMN outbox.key IS 'the game or the order whose messages stay in order';

CREATE TABLE consumed (
    consumer   TEXT NOT NULL,
    message_id TEXT NOT NULL,
    at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, message_id)
);
CREATE INDEX consumed_by_age ON consumed (at);

CREATE TABLE daily_stats (
    day   DATE NOT NULL,
    key   TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (day, key)
);

CREATE TABLE ticks (
    at         BIGINT NOT NULL,
    market_id  TEXT NOT NULL,
    yes_bid    BIGINT NULL CHECK (yes_bid BETWEEN 0 AND 10000),
    yes_ask    BIGINT NULL CHECK (yes_ask BETWEEN 0 AND 10000),
    home_score INT NULL,
    away_score INT NULL
);
CREATE INDEX ticks_by_market ON ticks (market_id, at);
COMMENT ON COLUMN ticks.at IS 'venue time, microseconds since 1970';

CREATE TABLE game_states (
    id                 BIGSERIAL PRIMARY KEY,
    game_id            TEXT NOT NULL REFERENCES games (game_id),
    venue_at           BIGINT NOT NULL,
    play_id            TEXT NULL,
    home_score         INT NOT NULL CHECK (home_score >= 0),
    away_score         INT NOT NULL CHECK (away_score >= 0),
    period             INT NOT NULL CHECK (period >= 0),
    clock_seconds      DOUBLE PRECISION NULL CHECK (clock_seconds >= 0 AND clock_seconds < 'Infinity'),
    home_probability   DOUBLE PRECISION NULL CHECK (home_probability BETWEEN 0 AND 1),
    source_probability DOUBLE PRECISION NULL CHECK (source_probability BETWEEN 0 AND 1),
    at                 TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT game_states_once
        UNIQUE NULLS NOT DISTINCT (game_id, venue_at, play_id, home_score, away_score)
);
COMMENT ON COLUMN game_states.home_probability IS 'our model''s';
COMMENT ON COLUMN game_states.source_probability IS
    'the score feed''s own, kept beside ours and never an input to it';
