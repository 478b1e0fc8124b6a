-- When an event is of no use any more: from then on it is not sent, and becomes a dead letter.
--
-- Functions whose arguments change are dropped where they are made again (functions/03, 04 and 06), in one transaction with their
-- successors: applications publish meanwhile.

ALTER TABLE walpost.outbox ADD COLUMN expires_at timestamptz;
ALTER TABLE walpost.parked ADD COLUMN expires_at text;
ALTER TABLE walpost.dead_letters ADD COLUMN expires_at timestamptz;

COMMENT ON COLUMN walpost.outbox.expires_at IS
  'From then on it is not sent any more, and becomes a dead letter (expired). Null, or infinity: never.';
COMMENT ON COLUMN walpost.parked.expires_at IS 'From then on it is not sent any more; null: never. As text, as it was received.';
COMMENT ON COLUMN walpost.dead_letters.expires_at IS 'From then on it is not sent any more, by a redrive neither; null: never.';
COMMENT ON COLUMN walpost.dead_letters.reason IS
  'poison: the row is no event; unrouted: no route matched; rejected: the destination refused it for good; failed: it failed too often; unavailable: the destination was away too long; expired: its expires_at had passed, or it was older than max_age of the sink; crash: it ended the process. Others may come.';
