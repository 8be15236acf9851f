CREATE TABLE signals (
    signal_id         TEXT PRIMARY KEY CHECK (signal_id <> ''),
    game_id           TEXT NOT NULL REFERENCES games (game_id),
    market_id         TEXT NOT NULL REFERENCES market_mappings (market_id),
    shard             TEXT NOT NULL,
    epoch             BIGINT NOT NULL CHECK (epoch > 0),
    kind              TEXT NOT NULL CHECK (kind <> ''),
    outcome           TEXT NOT NULL CHECK (outcome IN ('yes', 'no')),
    model_probability DOUBLE PRECISION NOT NULL CHECK (model_probability BETWEEN 0 AND 1),
    price             BIGINT NOT NULL CHECK (price BETWEEN 0 AND 10000),
    edge_basis_points INT NOT NULL,
    play_id           TEXT NULL,
    venue_created_at  BIGINT NOT NULL,
    venue_expires_at  BIGINT NOT NULL,
    trace             TEXT NOT NULL,
    verdict           TEXT NOT NULL CHECK (verdict <> ''),
    received_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT signals_expire_after_creation CHECK (venue_expires_at >= venue_created_at)
);
CREATE INDEX signals_by_game ON signals (game_id, received_at);
COMMENT ON COLUMN signals.verdict IS '''approved'' or the reason of the refusal';

-- Exposure held before an order is sent: what still counts is amount - released. Closed once (rule 7).
CREATE TABLE reservations (
    reservation_id TEXT PRIMARY KEY CHECK (reservation_id <> ''),
    game_id        TEXT NOT NULL REFERENCES games (game_id),
    market_id      TEXT NOT NULL REFERENCES market_mappings (market_id),
    sport          TEXT NOT NULL,
    amount         BIGINT NOT NULL CHECK (amount > 0),
    released       BIGINT NOT NULL DEFAULT 0,
    state          TEXT NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'committed', 'released')),
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    closed_at      TIMESTAMPTZ NULL,
    CONSTRAINT reservations_released_within CHECK (released BETWEEN 0 AND amount),
    CONSTRAINT reservations_closed_whole CHECK (
        (state = 'held' AND closed_at IS NULL)
        OR (state <> 'held' AND closed_at IS NOT NULL AND released = amount))
);
CREATE INDEX reservations_held ON reservations (game_id, sport) WHERE state = 'held';
COMMENT ON COLUMN reservations.released IS
    'the part turned into exposure by fills, or freed; the whole amount once closed';

CREATE FUNCTION reservations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'held' THEN
        RAISE EXCEPTION 'reservation % is % already', OLD.reservation_id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reservations_closed_once';
    END IF;
    IF NEW.released < OLD.released THEN
        RAISE EXCEPTION 'reservation % cannot take back what it released', OLD.reservation_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reservations_released_grows';
    END IF;
    IF (NEW.reservation_id, NEW.game_id, NEW.market_id, NEW.amount)
        IS DISTINCT FROM (OLD.reservation_id, OLD.game_id, OLD.market_id, OLD.amount) THEN
        RAISE EXCEPTION 'reservation % cannot be rewritten', OLD.reservation_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reservations_terms_fixed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reservations_guard BEFORE UPDATE ON reservations
    FOR EACH ROW EXECUTE FUNCTION reservations_guard();

-- approved -> sending | expired | refused; sending -> done | expired | refused; the rest is final.
CREATE TABLE intents (
    intent_id        TEXT PRIMARY KEY CHECK (intent_id <> ''),
    signal_id        TEXT NOT NULL UNIQUE REFERENCES signals (signal_id),
    reservation_id   TEXT NULL UNIQUE REFERENCES reservations (reservation_id),
    game_id          TEXT NOT NULL REFERENCES games (game_id),
    market_id        TEXT NOT NULL REFERENCES market_mappings (market_id),
    epoch            BIGINT NOT NULL CHECK (epoch > 0),
    outcome          TEXT NOT NULL CHECK (outcome IN ('yes', 'no')),
    action           TEXT NOT NULL CHECK (action IN ('buy', 'sell')),
    limit_price      BIGINT NOT NULL CHECK (limit_price BETWEEN 1 AND 9999),
    quantity         BIGINT NOT NULL CHECK (quantity > 0),
    state            TEXT NOT NULL DEFAULT 'approved'
        CHECK (state IN ('approved', 'sending', 'done', 'expired', 'refused')),
    venue_expires_at BIGINT NOT NULL,
    expires_at       TIMESTAMPTZ NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    trace            TEXT NOT NULL,
    CONSTRAINT intents_buy_is_reserved CHECK (action = 'sell' OR reservation_id IS NOT NULL)
);
CREATE INDEX intents_open ON intents (created_at) WHERE state IN ('approved', 'sending');

CREATE FUNCTION intents_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT (
        (OLD.state = 'approved' AND NEW.state IN ('sending', 'expired', 'refused'))
        OR (OLD.state = 'sending' AND NEW.state IN ('done', 'expired', 'refused'))) THEN
        RAISE EXCEPTION 'intent % cannot go from % to %', OLD.intent_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'intents_state_order';
    END IF;
    IF (NEW.signal_id, NEW.reservation_id, NEW.market_id, NEW.outcome, NEW.action, NEW.limit_price,
        NEW.quantity)
        IS DISTINCT FROM (OLD.signal_id, OLD.reservation_id, OLD.market_id, OLD.outcome, OLD.action,
        OLD.limit_price, OLD.quantity) THEN
        RAISE EXCEPTION 'intent % cannot be rewritten', OLD.intent_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'intents_terms_fixed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER intents_guard BEFORE UPDATE ON intents FOR EACH ROW EXECUTE FUNCTION intents_guard();

-- Stored before it is sent; filled (in part or whole), cancelled, rejected, expired are terminal.
CREATE TABLE orders (
    order_id       TEXT PRIMARY KEY CHECK (order_id <> ''),
    intent_id      TEXT NOT NULL REFERENCES intents (intent_id),
    attempt        INT NOT NULL CHECK (attempt >= 1),
    venue          TEXT NOT NULL CHECK (venue <> ''),
    venue_order_id TEXT NULL UNIQUE,
    market_id      TEXT NOT NULL REFERENCES market_mappings (market_id),
    outcome        TEXT NOT NULL CHECK (outcome IN ('yes', 'no')),
    action         TEXT NOT NULL CHECK (action IN ('buy', 'sell')),
    limit_price    BIGINT NOT NULL CHECK (limit_price BETWEEN 1 AND 9999),
    quantity       BIGINT NOT NULL CHECK (quantity > 0),
    filled         BIGINT NOT NULL DEFAULT 0,
    state          TEXT NOT NULL DEFAULT 'stored' CHECK (state IN ('stored', 'sent', 'unknown', 'resting',
        'filled', 'partially_filled', 'cancelled', 'rejected', 'expired')),
    reason         TEXT NULL,
    stored_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    sent_at        TIMESTAMPTZ NULL,
    closed_at      TIMESTAMPTZ NULL,
    venue_at       BIGINT NULL,
    UNIQUE (intent_id, attempt),
    CONSTRAINT orders_filled_within CHECK (filled BETWEEN 0 AND quantity),
    CONSTRAINT orders_filled_whole CHECK (state <> 'filled' OR filled = quantity),
    CONSTRAINT orders_filled_in_part
        CHECK (state <> 'partially_filled' OR filled BETWEEN 1 AND quantity - 1),
    CONSTRAINT orders_sent_when CHECK (sent_at IS NOT NULL
        OR state NOT IN ('sent', 'unknown', 'resting', 'partially_filled', 'filled')),
    CONSTRAINT orders_closed_when CHECK (
        (closed_at IS NOT NULL) =
        (state IN ('filled', 'partially_filled', 'cancelled', 'rejected', 'expired')))
);
CREATE INDEX orders_open ON orders (stored_at)
    WHERE state IN ('stored', 'sent', 'unknown', 'resting');
CREATE INDEX orders_by_market ON orders (market_id, stored_at);

-- The state of a closed order stays; a straggler's fill may still raise `filled`.
CREATE FUNCTION orders_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state
        AND OLD.state IN ('filled', 'partially_filled', 'cancelled', 'rejected', 'expired') THEN
        RAISE EXCEPTION 'order % is % and cannot become %', OLD.order_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_terminal_stays';
    END IF;
    IF NEW.state <> OLD.state AND NEW.state = 'stored' THEN
        RAISE EXCEPTION 'order % is % and cannot be unsent', OLD.order_id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_state_order';
    END IF;
    IF NEW.filled < OLD.filled THEN
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
CREATE TRIGGER orders_guard BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION orders_guard();

CREATE TABLE fills (
    fill_id   TEXT PRIMARY KEY CHECK (fill_id <> ''),
    order_id  TEXT NOT NULL REFERENCES orders (order_id),
    market_id TEXT NOT NULL REFERENCES market_mappings (market_id),
    outcome   TEXT NOT NULL CHECK (outcome IN ('yes', 'no')),
    action    TEXT NOT NULL CHECK (action IN ('buy', 'sell')),
    price     BIGINT NOT NULL CHECK (price BETWEEN 0 AND 10000),
    quantity  BIGINT NOT NULL CHECK (quantity > 0),
    fee       BIGINT NOT NULL CHECK (fee >= 0),
    venue_at  BIGINT NOT NULL,
    booked_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX fills_by_order ON fills (order_id);
CREATE INDEX fills_by_market ON fills (market_id, venue_at);

CREATE FUNCTION fills_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'fill % is a fact of the venue and stays', OLD.fill_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'fills_are_facts';
END $$;
CREATE TRIGGER fills_guard BEFORE UPDATE OR DELETE ON fills
    FOR EACH ROW EXECUTE FUNCTION fills_guard();

CREATE TABLE positions (
    market_id    TEXT PRIMARY KEY REFERENCES market_mappings (market_id),
    game_id      TEXT NOT NULL REFERENCES games (game_id),
    net_quantity BIGINT NOT NULL DEFAULT 0,
    cost         BIGINT NOT NULL DEFAULT 0,
    realised     BIGINT NOT NULL DEFAULT 0,
    fees         BIGINT NOT NULL DEFAULT 0 CHECK (fees >= 0),
    state        TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'settled')),
    settled_at   TIMESTAMPTZ NULL,
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT positions_closed_is_flat CHECK (state <> 'closed' OR net_quantity = 0),
    CONSTRAINT positions_settled_when CHECK ((state = 'settled') = (settled_at IS NOT NULL))
);
CREATE INDEX positions_open ON positions (game_id) WHERE state = 'open';
COMMENT ON COLUMN positions.net_quantity IS '1/100 contract; above zero is YES, below is NO';

CREATE TABLE bankroll (
    account    TEXT PRIMARY KEY CHECK (account <> ''),
    cash       BIGINT NOT NULL,
    initial    BIGINT NOT NULL CHECK (initial >= 0),
    realised   BIGINT NOT NULL DEFAULT 0,
    fees       BIGINT NOT NULL DEFAULT 0 CHECK (fees >= 0),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
