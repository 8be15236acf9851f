-- One row: who leads, until when by the database's clock. A term only grows; each holder has its own.
CREATE TABLE leadership (
    id          SMALLINT    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    term        BIGINT      NOT NULL CHECK (term >= 0),
    holder      TEXT        NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL
);
INSERT INTO leadership (term, holder, expires_at) VALUES (0, '', 'epoch');

CREATE FUNCTION leadership_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.term < OLD.term THEN
        RAISE EXCEPTION 'term % is lower than term %', NEW.term, OLD.term
            USING ERRCODE = 'check_violation', CONSTRAINT = 'leadership_term_grows';
    END IF;
    IF NEW.holder <> OLD.holder AND NEW.term <= OLD.term THEN
        RAISE EXCEPTION 'a new holder needs a term above %', OLD.term
            USING ERRCODE = 'check_violation', CONSTRAINT = 'leadership_term_grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER leadership_guard BEFORE UPDATE ON leadership
    FOR EACH ROW EXECUTE FUNCTION leadership_guard();

CREATE TABLE games (
    game_id           TEXT PRIMARY KEY CHECK (game_id <> ''),
    sport             TEXT NOT NULL CHECK (sport <> ''),
    home_name         TEXT NOT NULL,
    home_abbreviation TEXT NOT NULL,
    away_name         TEXT NOT NULL,
    away_abbreviation TEXT NOT NULL,
    scheduled_at      BIGINT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN
        ('scheduled', 'live', 'final', 'postponed', 'suspended', 'cancelled')),
    home_score        INT NOT NULL DEFAULT 0 CHECK (home_score >= 0),
    away_score        INT NOT NULL DEFAULT 0 CHECK (away_score >= 0),
    period            INT NOT NULL DEFAULT 0 CHECK (period >= 0),
    clock_seconds     DOUBLE PRECISION NULL CHECK (clock_seconds >= 0 AND clock_seconds < 'Infinity'),
    pregame_home_probability DOUBLE PRECISION NULL CHECK (pregame_home_probability BETWEEN 0 AND 1),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX games_by_status ON games (status, scheduled_at);
COMMENT ON COLUMN games.scheduled_at IS 'venue time, microseconds since 1970';
COMMENT ON COLUMN games.clock_seconds IS 'seconds left in the period; null when the feed does not say';

-- A stale feed must not bring a finished game back to life.
CREATE FUNCTION games_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'final' AND NEW.status <> 'final' THEN
        RAISE EXCEPTION 'game % is final and cannot become %', OLD.game_id, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'games_final_stays';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER games_guard BEFORE UPDATE ON games FOR EACH ROW EXECUTE FUNCTION games_guard();

CREATE TABLE market_mappings (
    market_id        TEXT PRIMARY KEY CHECK (market_id <> ''),
    venue            TEXT NOT NULL CHECK (venue <> ''),
    game_id          TEXT NOT NULL REFERENCES games (game_id),
    event_ticker     TEXT NOT NULL,
    title            TEXT NOT NULL,
    outcome_team     TEXT NOT NULL CHECK (outcome_team IN ('home', 'away')),
    price_step       TEXT NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('active', 'closed', 'settled', 'voided')),
    settlement_price BIGINT NULL CHECK (settlement_price BETWEEN 0 AND 10000),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT market_mappings_settled_has_price
        CHECK (status <> 'settled' OR settlement_price IS NOT NULL),
    CONSTRAINT market_mappings_price_when_settled
        CHECK (settlement_price IS NULL OR status IN ('settled', 'voided'))
);
CREATE INDEX market_mappings_by_game ON market_mappings (game_id);
COMMENT ON COLUMN market_mappings.outcome_team IS 'the team whose win pays YES';
COMMENT ON COLUMN market_mappings.settlement_price IS '1/10000 dollar paid per YES contract';

-- Desired owner of each game. The epoch is the fencing token: it only grows, and grows with each owner.
CREATE TABLE assignments (
    game_id     TEXT PRIMARY KEY REFERENCES games (game_id),
    shard       TEXT NULL CHECK (shard <> ''),
    epoch       BIGINT NOT NULL CHECK (epoch > 0),
    state       TEXT NOT NULL CHECK (state IN ('assigned', 'revoking', 'orphaned', 'released')),
    assigned_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT assignments_owner_known
        CHECK (state NOT IN ('assigned', 'revoking') OR shard IS NOT NULL)
);
CREATE INDEX assignments_by_shard ON assignments (shard) WHERE shard IS NOT NULL;

CREATE FUNCTION assignments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'assignment of game % is released, never deleted: its epoch must survive',
            OLD.game_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'assignments_never_deleted';
    END IF;
    IF NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'epoch % of game % is lower than %', NEW.epoch, OLD.game_id, OLD.epoch
            USING ERRCODE = 'check_violation', CONSTRAINT = 'assignments_epoch_grows';
    END IF;
    IF NEW.shard IS DISTINCT FROM OLD.shard AND NEW.epoch <= OLD.epoch THEN
        RAISE EXCEPTION 'game % needs an epoch above % to change its shard', OLD.game_id, OLD.epoch
            USING ERRCODE = 'check_violation', CONSTRAINT = 'assignments_epoch_grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER assignments_guard BEFORE UPDATE OR DELETE ON assignments
    FOR EACH ROW EXECUTE FUNCTION assignments_guard();

CREATE TABLE assignment_log (
    id         BIGSERIAL PRIMARY KEY,
    game_id    TEXT NOT NULL REFERENCES games (game_id),
    from_shard TEXT NULL,
    to_shard   TEXT NULL,
    epoch      BIGINT NOT NULL CHECK (epoch > 0),
    reason     TEXT NOT NULL,
    at         TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX assignment_log_by_game ON assignment_log (game_id, id);
