-- What a lost connection, a refused announcement and a late fill leave behind.

-- A fill may arrive after an order has ended filled in part, and complete it: the state stays, `filled` grows.
ALTER TABLE orders DROP CONSTRAINT orders_filled_in_part;
ALTER TABLE orders ADD CONSTRAINT orders_filled_in_part
    CHECK (state <> 'partially_filled' OR filled BETWEEN 1 AND quantity);

-- The oldest row of a key that could not be published: tried again at its own time, so that others go by.
ALTER TABLE outbox ADD COLUMN attempts INT NOT NULL DEFAULT 0 CHECK (attempts >= 0);
ALTER TABLE outbox ADD COLUMN next_attempt_at TIMESTAMPTZ NULL;
COMMENT ON COLUMN outbox.attempts IS 'failures while other rows could be published';
COMMENT ON COLUMN outbox.next_attempt_at IS 'set by the first failure; until it is published its key waits';
CREATE INDEX outbox_failed_by_key ON outbox (key) WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;
CREATE INDEX outbox_failed ON outbox (next_attempt_at) WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

-- Announcements that cannot be made, taken out of the outbox so that their key goes on.
CREATE TABLE outbox_dead_letters (
    id           BIGINT PRIMARY KEY,
    topic        TEXT NOT NULL,
    key          TEXT NOT NULL,
    message_type TEXT NOT NULL,
    payload      JSONB NOT NULL,
    trace        TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    attempts     INT NOT NULL CHECK (attempts > 0),
    failure      TEXT NOT NULL,
    died_at      TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON COLUMN outbox_dead_letters.id IS 'the row''s id in the outbox, and so its message id';

-- How far each stream of deferred writes has been stored; written in the transaction of what it counts.
CREATE TABLE journal_positions (
    stream   TEXT PRIMARY KEY CHECK (stream <> ''),
    sequence BIGINT NOT NULL CHECK (sequence >= 0),
    saved_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON COLUMN journal_positions.stream IS 'one life of one process';

CREATE FUNCTION journal_positions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence < OLD.sequence OR NEW.stream <> OLD.stream THEN
        RAISE EXCEPTION 'stream % has been stored up to %', OLD.stream, OLD.sequence
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_positions_grow';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER journal_positions_guard BEFORE UPDATE ON journal_positions
    FOR EACH ROW EXECUTE FUNCTION journal_positions_guard();

-- Deferred writes that the schema refuses, kept as they were.
CREATE TABLE journal_dead_letters (
    stream   TEXT NOT NULL CHECK (stream <> ''),
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    kind     TEXT NOT NULL,
    payload  TEXT NOT NULL,
    failure  TEXT NOT NULL,
    died_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, sequence)
);

-- What money rests on is closed, never removed.
CREATE FUNCTION kept_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are closed, never deleted', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_kept';
END $$;
CREATE TRIGGER signals_kept BEFORE DELETE OR TRUNCATE ON signals
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER reservations_kept BEFORE DELETE OR TRUNCATE ON reservations
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER intents_kept BEFORE DELETE OR TRUNCATE ON intents
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER orders_kept BEFORE DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER positions_kept BEFORE DELETE OR TRUNCATE ON positions
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER bankroll_kept BEFORE DELETE OR TRUNCATE ON bankroll
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER leadership_kept BEFORE DELETE OR TRUNCATE ON leadership
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER fills_kept BEFORE TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
CREATE TRIGGER audit_log_kept BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();

-- A market is settled once, at one price.
CREATE FUNCTION market_mappings_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('settled', 'voided')
        AND (NEW.status, NEW.settlement_price) IS DISTINCT FROM (OLD.status, OLD.settlement_price) THEN
        RAISE EXCEPTION 'market % is % already', OLD.market_id, OLD.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_mappings_settled_stays';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER market_mappings_guard BEFORE UPDATE ON market_mappings
    FOR EACH ROW EXECUTE FUNCTION market_mappings_guard();
