-- What ends a position before its market does, what its venue takes back, and what is put aside of a profit.

-- An exit follows from a position and a price; its signal is its own, so that older builds read it as a sale.
ALTER TABLE intents ADD COLUMN exit_reason TEXT NULL
    CONSTRAINT intents_exit_sells
        CHECK (exit_reason IS NULL OR (action = 'sell' AND exit_reason IN ('take_profit', 'stop_loss')));
CREATE UNIQUE INDEX intents_one_exit ON intents (market_id)
    WHERE exit_reason IS NOT NULL AND state IN ('approved', 'sending');
CREATE INDEX intents_exits ON intents (market_id) WHERE exit_reason IS NOT NULL;

ALTER TABLE positions ADD COLUMN opened_at BIGINT NULL;
COMMENT ON COLUMN positions.opened_at IS 'venue time of the first fill since it was flat; null in older rows';

-- A part of the profit of each trade is risked no more.
ALTER TABLE positions ADD COLUMN shared_profit BIGINT NOT NULL DEFAULT 0;
ALTER TABLE positions ADD COLUMN saved BIGINT NOT NULL DEFAULT 0 CHECK (saved >= 0);
COMMENT ON COLUMN positions.shared_profit IS 'realised less fees when it was last flat: what has been looked at';
COMMENT ON COLUMN positions.saved IS 'what of it is in bankroll.saved';
ALTER TABLE bankroll ADD COLUMN saved BIGINT NOT NULL DEFAULT 0 CHECK (saved >= 0);
COMMENT ON COLUMN bankroll.saved IS 'the part of cash that is not traded with';

-- A venue may call a fill matched before it is certain, and take it back.
ALTER TABLE fills ADD COLUMN number BIGSERIAL;
ALTER TABLE fills ADD COLUMN standing TEXT NOT NULL DEFAULT 'confirmed'
    CHECK (standing IN ('provisional', 'confirmed', 'reversed'));
COMMENT ON COLUMN fills.number IS 'the order of booking';
CREATE INDEX fills_provisional ON fills (number) WHERE standing = 'provisional';

CREATE OR REPLACE FUNCTION fills_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.standing = 'provisional' AND NEW.standing <> 'provisional'
        AND to_jsonb(NEW) - 'standing' = to_jsonb(OLD) - 'standing' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'fill % is a fact of the venue and stays', OLD.fill_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'fills_are_facts';
END $$;

-- The one way back out of an end: what was said of the order was not true.
CREATE OR REPLACE FUNCTION orders_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_reversal BOOLEAN := NEW.filled < OLD.filled AND NEW.reason IS NOT DISTINCT FROM 'fill_reversed';
BEGIN
    IF NEW.state <> OLD.state AND NOT is_reversal
        AND OLD.state IN ('filled', 'partially_filled', 'cancelled', 'rejected', 'expired') THEN
        RAISE EXCEPTION 'order % is % and cannot become %', OLD.order_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_terminal_stays';
    END IF;
    IF NEW.state <> OLD.state AND NEW.state = 'stored' THEN
        RAISE EXCEPTION 'order % is % and cannot be unsent', OLD.order_id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_state_order';
    END IF;
    IF NEW.filled < OLD.filled AND NOT is_reversal THEN
        RAISE EXCEPTION 'order % cannot be filled less than %', OLD.order_id, OLD.filled
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_filled_grows';
    END IF;
    IF (NEW.order_id, NEW.intent_id, NEW.attempt, NEW.market_id, NEW.outcome, NEW.action, NEW.limit_price,
        NEW.quantity)
        IS DISTINCT FROM (OLD.order_id, OLD.intent_id, OLD.attempt, OLD.market_id, OLD.outcome,
        OLD.action, OLD.limit_price, OLD.quantity) THEN
        RAISE EXCEPTION 'order % cannot be rewritten', OLD.order_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_terms_fixed';
    END IF;
    RETURN NEW;
END $$;

-- What a game's intents hold is asked with every signal.
CREATE INDEX intents_by_game ON intents (game_id);
