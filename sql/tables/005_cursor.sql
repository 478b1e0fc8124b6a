-- How far the relay has come, one row for each slot; what is proven; and where walpost was installed.

CREATE TABLE walpost.cursor (
  slot              text        NOT NULL,
  epoch             bigint      NOT NULL DEFAULT 0,
  lsn               pg_lsn,
  system_identifier text        NOT NULL,
  timeline          integer     NOT NULL,
  history           integer     NOT NULL DEFAULT 0,
  claimed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  advanced_at       timestamptz,
  source            text,
  source_table      text,
  publication       text,
  database_oid      oid,
  former_slot       text,
  messages          boolean     NOT NULL DEFAULT false,
  starts            integer     NOT NULL DEFAULT 0,
  starts_lsn        pg_lsn,
  in_flight         jsonb,
  blamed            jsonb       NOT NULL DEFAULT '[]',

  CONSTRAINT cursor_pkey PRIMARY KEY (slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

COMMENT ON TABLE walpost.cursor IS
  'The position up to which everything is settled. It is committed before the slot is told, so a slot ahead of it was recreated.';
COMMENT ON COLUMN walpost.cursor.slot IS 'Name of the replication slot.';
COMMENT ON COLUMN walpost.cursor.epoch IS 'Grows with each new leader; writes of an older leader are refused.';
COMMENT ON COLUMN walpost.cursor.lsn IS 'Everything before this position is settled; null before the first settlement.';
COMMENT ON COLUMN walpost.cursor.system_identifier IS 'The cluster of the position, as IDENTIFY_SYSTEM names it.';
COMMENT ON COLUMN walpost.cursor.timeline IS 'The timeline of that cluster.';
COMMENT ON COLUMN walpost.cursor.history IS
  'Grows when another cluster or timeline is adopted: positions of different histories must not be compared.';
COMMENT ON COLUMN walpost.cursor.claimed_at IS 'When the present leader took over.';
COMMENT ON COLUMN walpost.cursor.advanced_at IS 'When the position last moved.';
COMMENT ON COLUMN walpost.cursor.source IS
  'Publication and table, by number, as they were when the stream last held every row. If they differ now, rows may have been missed, and no checkpoint is taken. Null: not known. Empty: rows are missing. job N: and the numbers: job N is reading the missed rows.';
COMMENT ON COLUMN walpost.cursor.source_table IS
  'The table whose events the slot delivers, as format(''%I.%I'') prints it. It identifies the slot when the database or the configuration is renamed.';
COMMENT ON COLUMN walpost.cursor.publication IS 'The publication of that table.';
COMMENT ON COLUMN walpost.cursor.database_oid IS 'The database of the slot; in a copy of the database it is another one.';
COMMENT ON COLUMN walpost.cursor.former_slot IS
  'The slot that this one replaces, until that slot is dropped (source.takes_over).';
COMMENT ON COLUMN walpost.cursor.messages IS
  'Whether the relay of this slot delivers what walpost.emit writes (source.messages); where none does, walpost.emit fails.';
COMMENT ON COLUMN walpost.cursor.starts IS
  'Consecutive starts of a process without a clean shutdown and without progress; 0 after a clean shutdown.';
COMMENT ON COLUMN walpost.cursor.starts_lsn IS 'The position at the last start.';
COMMENT ON COLUMN walpost.cursor.in_flight IS
  'The one event that is with a sink while the relay sends one at a time, after several starts without progress; null otherwise.';
COMMENT ON COLUMN walpost.cursor.blamed IS
  'Events that were with a sink when the process died while it sent one at a time; they become dead letters.';

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

-- Where walpost was installed. A database that was restored from a dump, or copied, brings this row along, and it names another
-- cluster or another database. Then nothing is sent until a person has said what is to become of what is there
-- (source.existing), and from then on the row names this place.
--
-- The number of a database stays when it is renamed. A standby that is promoted keeps both.

CREATE TABLE walpost.installation (
  one               boolean     NOT NULL DEFAULT true,
  system_identifier text        NOT NULL,
  database_oid      oid         NOT NULL,
  database_name     text        NOT NULL,
  recorded_by       text        NOT NULL,
  recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT installation_pkey PRIMARY KEY (one),
  CONSTRAINT installation_one_row CHECK (one)
);

COMMENT ON TABLE walpost.installation IS
  'One row: the cluster and the database in which rows are sent without asking. walpost migrate writes it where there is none.';
COMMENT ON COLUMN walpost.installation.one IS 'True: there is one row.';
COMMENT ON COLUMN walpost.installation.system_identifier IS 'The cluster, as IDENTIFY_SYSTEM names it.';
COMMENT ON COLUMN walpost.installation.database_oid IS 'The number of the database in that cluster.';
COMMENT ON COLUMN walpost.installation.database_name IS 'Its name at that time, for a person.';
COMMENT ON COLUMN walpost.installation.recorded_by IS 'What wrote the row: migrate, or the source.existing of a start in a copy.';
COMMENT ON COLUMN walpost.installation.recorded_at IS 'When it was written.';
