-- Two legs under one reservation: what is approved, who works on it, and what it came to (decision 0049).
CREATE TABLE plans (
    plan_id            TEXT PRIMARY KEY CHECK (plan_id <> ''),
    signal_id          TEXT NOT NULL UNIQUE REFERENCES signals (signal_id),
    reservation_id     TEXT NOT NULL UNIQUE REFERENCES reservations (reservation_id),
    game_id            TEXT NOT NULL REFERENCES games (game_id),
    approved           JSONB NOT NULL,
    state              TEXT NOT NULL DEFAULT 'approved' CHECK (state IN ('approved', 'working', 'finished')),
    venue_expires_at   BIGINT NOT NULL,
    expires_at         TIMESTAMPTZ NOT NULL,
    trace              TEXT NOT NULL,
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    holder             TEXT NULL,
    held_until         TIMESTAMPTZ NULL,
    ending             TEXT NULL CHECK (ending IN ('complete', 'partial', 'flat', 'naked')),
    pairs              BIGINT NULL CHECK (pairs >= 0),
    result             BIGINT NULL,
    naked_milliseconds BIGINT NULL CHECK (naked_milliseconds >= 0),
    finished_at        TIMESTAMPTZ NULL,
    CONSTRAINT plans_finished_whole CHECK (state <> 'finished'
        OR (ending IS NOT NULL AND pairs IS NOT NULL AND result IS NOT NULL AND finished_at IS NOT NULL))
);
CREATE INDEX plans_open ON plans (created_at) WHERE state <> 'finished';
CREATE INDEX plans_by_end ON plans (finished_at) WHERE state = 'finished';
COMMENT ON COLUMN plans.approved IS 'the plan as announced: both legs, pairs, allowed loss';
COMMENT ON COLUMN plans.holder IS 'the process that works on it, until held_until';
COMMENT ON COLUMN plans.result IS 'what it earns whoever wins, fees deducted; 1/1000000 dollar';

CREATE FUNCTION plans_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'plan % is kept', OLD.plan_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'plans_kept';
    END IF;
    IF (NEW.plan_id, NEW.signal_id, NEW.reservation_id, NEW.game_id, NEW.approved, NEW.venue_expires_at)
        IS DISTINCT FROM (OLD.plan_id, OLD.signal_id, OLD.reservation_id, OLD.game_id, OLD.approved,
        OLD.venue_expires_at) THEN
        RAISE EXCEPTION 'plan % cannot be rewritten', OLD.plan_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'plans_terms_fixed';
    END IF;
    IF NEW.state = 'approved' AND OLD.state <> 'approved' THEN
        RAISE EXCEPTION 'plan % is % and cannot be untouched', OLD.plan_id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'plans_state_order';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER plans_guard BEFORE UPDATE OR DELETE ON plans FOR EACH ROW EXECUTE FUNCTION plans_guard();

-- The intents of a plan are its legs: they share its reservation, and nobody waits for them. For a build that knows no
-- plans they have ended, so it sends nothing for them; their orders it books as it books every order.
ALTER TABLE intents ADD COLUMN plan_id TEXT NULL REFERENCES plans (plan_id)
    CONSTRAINT intents_leg_is_its_plans CHECK (plan_id IS NULL OR state = 'done');
ALTER TABLE intents ADD COLUMN leg SMALLINT NULL CHECK (leg IN (1, 2));
ALTER TABLE intents DROP CONSTRAINT intents_reservation_id_key;
CREATE UNIQUE INDEX intents_by_reservation ON intents (reservation_id, coalesce(leg, 0));
CREATE UNIQUE INDEX intents_by_plan ON intents (plan_id, leg) WHERE plan_id IS NOT NULL;
CREATE INDEX intents_legs_by_market ON intents (market_id) WHERE plan_id IS NOT NULL;

ALTER TABLE orders ADD COLUMN purpose TEXT NULL CHECK (purpose IN ('enter', 'cover', 'unwind'));
COMMENT ON COLUMN orders.purpose IS 'what an order of a plan is for; its attempt is its number in the plan';

-- Markets of different venues whose settlement terms a person has compared; no row, no arbitrage across venues.
CREATE TABLE same_terms (
    first_market  TEXT NOT NULL REFERENCES market_mappings (market_id),
    second_market TEXT NOT NULL REFERENCES market_mappings (market_id),
    compared_by   TEXT NOT NULL CHECK (compared_by <> ''),
    note          TEXT NOT NULL CHECK (note <> ''),
    compared_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (first_market, second_market),
    CONSTRAINT same_terms_in_order CHECK (first_market < second_market)
);
