-- One account at a time is traded in a database, paper or live, and every order says which one's it was (decision 0081).
ALTER TABLE bankroll ADD COLUMN is_trading BOOLEAN NOT NULL DEFAULT false;
COMMENT ON COLUMN bankroll.is_trading IS 'whether orders of this account may be approved and sent; at most one';
CREATE UNIQUE INDEX bankroll_one_trades ON bankroll (is_trading) WHERE is_trading;
UPDATE bankroll SET is_trading = true WHERE (SELECT count(*) FROM bankroll) = 1;

ALTER TABLE orders ADD COLUMN account TEXT NULL CHECK (account <> '');
COMMENT ON COLUMN orders.account IS 'null from builds that knew one account only';
UPDATE orders SET account = (SELECT account FROM bankroll WHERE is_trading);
