-- How far the relay has come, one row a slot, and who may say so.

CREATE TABLE walpost.cursor (
  slot              text        NOT NULL,
  epoch             bigint      NOT NULL DEFAULT 0,
  lsn               pg_lsn,
  system_identifier text        NOT NULL,
  timeline          integer     NOT NULL,
  claimed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  advanced_at       timestamptz,

  CONSTRAINT cursor_pkey PRIMARY KEY (slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

COMMENT ON TABLE walpost.cursor IS
  'The position up to which everything is settled. It is committed before the slot is told, so a slot that is ahead of it was made again.';
COMMENT ON COLUMN walpost.cursor.slot IS 'Name of the replication slot.';
COMMENT ON COLUMN walpost.cursor.epoch IS 'Grows with each new leader; what an older one writes is refused.';
COMMENT ON COLUMN walpost.cursor.lsn IS 'Everything before this position is settled; null before the first settlement.';
COMMENT ON COLUMN walpost.cursor.system_identifier IS 'The cluster that the position belongs to, as IDENTIFY_SYSTEM names it.';
COMMENT ON COLUMN walpost.cursor.timeline IS 'The timeline of that cluster.';
COMMENT ON COLUMN walpost.cursor.claimed_at IS 'When the present leader took over.';
COMMENT ON COLUMN walpost.cursor.advanced_at IS 'When the position last moved.';
