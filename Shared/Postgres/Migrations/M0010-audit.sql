-- The chain of the audit log (docs/AUDIT.md): which transaction wrote a row, its place, and the chain's end.

-- Rows from before this migration have no writer; they are sealed first, by their id.
ALTER TABLE audit_log ADD COLUMN writer XID8 NULL;
ALTER TABLE audit_log ADD COLUMN position BIGINT NULL CHECK (position > 0);
COMMENT ON COLUMN audit_log.writer IS 'the transaction that wrote the row';
COMMENT ON COLUMN audit_log.position IS 'the place in the chain, given with the hash by whoever seals';
CREATE UNIQUE INDEX audit_log_by_position ON audit_log (position) WHERE position IS NOT NULL;
CREATE INDEX audit_log_unsealed ON audit_log (writer NULLS FIRST, id) WHERE hash IS NULL;
CREATE INDEX audit_log_by_signal ON audit_log ((details ->> 'signal') text_pattern_ops)
    WHERE (details ->> 'signal') IS NOT NULL;

-- A row is written without a place and a hash, and under the number of the transaction that writes it.
CREATE FUNCTION audit_log_born() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.writer := pg_current_xact_id();
    NEW.position := NULL;
    NEW.previous_hash := NULL;
    NEW.hash := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_born BEFORE INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_born();

CREATE OR REPLACE FUNCTION audit_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.hash IS NULL
        AND (NEW.id, NEW.at, NEW.event, NEW.intent_id, NEW.order_id, NEW.market_id, NEW.game_id,
        NEW.details, NEW.writer)
        IS NOT DISTINCT FROM (OLD.id, OLD.at, OLD.event, OLD.intent_id, OLD.order_id, OLD.market_id,
        OLD.game_id, OLD.details, OLD.writer) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit row % stays as it was written', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_append_only';
END $$;

-- The chain's end. Whoever seals locks this row, and nobody else does.
CREATE TABLE audit_chain (
    id        SMALLINT PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    position  BIGINT NOT NULL CHECK (position >= 0),
    hash      BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    sealed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
INSERT INTO audit_chain (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION audit_chain_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.position <= OLD.position THEN
        RAISE EXCEPTION 'the audit chain has % rows', OLD.position
            USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_chain_grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_chain_guard BEFORE UPDATE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION audit_chain_guard();
CREATE TRIGGER audit_chain_kept BEFORE DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION kept_for_ever();
