-- Checkpoints tie three scales to each other: the WAL position, what was visible, and the clock.
--
-- One is taken in this order: the snapshot, then the insert position of the WAL, then the clock. So everything that the
-- snapshot sees was committed before the position, and before that time. Once the relay has settled everything before the
-- position, the checkpoint is settled, and the rows that its snapshot sees are proven: they were delivered, or are parked,
-- or are dead letters. Only proven rows may be pruned, or left out when a lost slot is healed.
--
-- The snapshot is kept whole. Its xmin alone would let one old transaction, anywhere in the cluster, unprove everything.

CREATE TABLE walpost.checkpoints (
  id                bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot              text        NOT NULL,
  system_identifier text        NOT NULL,
  timeline          integer     NOT NULL,
  lsn               pg_lsn      NOT NULL,
  snapshot          pg_snapshot NOT NULL,
  taken_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at        timestamptz,

  CONSTRAINT checkpoints_pkey PRIMARY KEY (id)
);

CREATE INDEX checkpoints_slot_lsn_idx ON walpost.checkpoints (slot, lsn);

COMMENT ON TABLE walpost.checkpoints IS
  'What was visible at which position of the WAL and at which time; the map from an LSN or a time to rows of the outbox.';
COMMENT ON INDEX walpost.checkpoints_slot_lsn_idx IS 'Finding the last checkpoint at or below a position.';
COMMENT ON COLUMN walpost.checkpoints.id IS 'Number of the checkpoint.';
COMMENT ON COLUMN walpost.checkpoints.slot IS 'The slot whose relay took it.';
COMMENT ON COLUMN walpost.checkpoints.system_identifier IS 'The cluster that position and snapshot belong to; in another one it proves nothing.';
COMMENT ON COLUMN walpost.checkpoints.timeline IS 'The timeline of that cluster when it was taken.';
COMMENT ON COLUMN walpost.checkpoints.lsn IS 'Everything that the snapshot sees was committed before this position.';
COMMENT ON COLUMN walpost.checkpoints.snapshot IS 'Which transactions were visible.';
COMMENT ON COLUMN walpost.checkpoints.taken_at IS 'Everything that the snapshot sees was committed before this time.';
COMMENT ON COLUMN walpost.checkpoints.settled_at IS 'When everything before lsn was settled; null until then.';

CREATE FUNCTION walpost.proven_snapshot(slot text) RETURNS pg_snapshot
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT c.snapshot
    FROM walpost.checkpoints AS c
    JOIN walpost.cursor AS k ON k.slot = c.slot AND k.system_identifier = c.system_identifier
   WHERE c.slot = proven_snapshot.slot
     AND c.settled_at IS NOT NULL
     AND c.system_identifier = (SELECT s.system_identifier::text FROM pg_control_system() AS s)
     AND c.lsn <= CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END
   ORDER BY c.lsn DESC, c.id DESC
   LIMIT 1;
END;

CREATE FUNCTION walpost.is_proven(created_xid xid8) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(bool_and(coalesce(pg_visible_in_snapshot(is_proven.created_xid, walpost.proven_snapshot(k.slot)), false)), false)
    FROM walpost.cursor AS k;
END;

COMMENT ON FUNCTION walpost.proven_snapshot(text) IS
  'The snapshot of the last settled checkpoint of a slot: the rows that it sees are proven. Null when nothing is, as after a restore into another cluster.';
COMMENT ON FUNCTION walpost.is_proven(xid8) IS
  'Whether a row with this created_xid is settled for every slot that has a cursor row. Remove the cursor row of a slot that is gone for good.';
