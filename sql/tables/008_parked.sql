-- Events that wait in Postgres for a sink that is unavailable, so that the slot can move on without them.

CREATE TABLE walpost.parked (
  id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot            text        NOT NULL,
  epoch           bigint      NOT NULL,
  sink            text        NOT NULL,
  organization_id text        NOT NULL,
  lane            text        NOT NULL DEFAULT '',
  history         integer     NOT NULL,
  order_lsn       pg_lsn      NOT NULL,
  order_job       boolean     NOT NULL,
  place           bigint      NOT NULL,
  commit_lsn      pg_lsn,
  ordinal         integer,
  job             text,
  job_row         text,
  event_id        text        NOT NULL,
  event_type      text        NOT NULL,
  event_version   integer     NOT NULL,
  topic           text        NOT NULL,
  entity_type     text,
  entity_id       text,
  target          text,
  idempotency_key text,
  payload         text        NOT NULL,
  headers         text        NOT NULL,
  created_at      text,
  committed_at    timestamptz,
  size            integer     NOT NULL,
  received_at     timestamptz NOT NULL,
  parked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT parked_pkey PRIMARY KEY (id),
  CONSTRAINT parked_position CHECK ((commit_lsn IS NULL) = (ordinal IS NULL)),
  CONSTRAINT parked_origin CHECK ((commit_lsn IS NULL) = (job IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE SEQUENCE walpost.parked_place OWNED BY walpost.parked.place;

-- The order of a lane; it also keeps an event of the stream from being stored twice in it.
CREATE UNIQUE INDEX parked_lane_key
    ON walpost.parked (slot, sink, organization_id, lane, history, order_lsn, order_job, place);
-- A job's event is identified by the row that the job found, since the ids of a mapped table need not be unique.
CREATE UNIQUE INDEX parked_job_key ON walpost.parked (slot, sink, lane, job, job_row) WHERE job IS NOT NULL;
CREATE INDEX parked_event_id_idx ON walpost.parked (event_id);
CREATE INDEX parked_event_uuid_idx ON walpost.parked (walpost_internal.uuid_or_null(event_id));

COMMENT ON TABLE walpost.parked IS 'Events that wait for a sink that is unavailable; each leaves when it is delivered. See walpost parked.';
COMMENT ON INDEX walpost.parked_lane_key IS 'A lane in its order; storing the same event of the stream again does nothing.';
COMMENT ON INDEX walpost.parked_job_key IS 'Storing the same row of a job again does nothing.';
COMMENT ON INDEX walpost.parked_event_id_idx IS 'Finding what became of an event.';
COMMENT ON INDEX walpost.parked_event_uuid_idx IS 'Finding what became of an event of walpost.outbox.';
COMMENT ON SEQUENCE walpost.parked_place IS 'Numbers the events of jobs as they are parked.';
COMMENT ON COLUMN walpost.parked.id IS 'Number of the row, for the command line.';
COMMENT ON COLUMN walpost.parked.slot IS 'The slot that it came from.';
COMMENT ON COLUMN walpost.parked.epoch IS 'The leader that stored it.';
COMMENT ON COLUMN walpost.parked.sink IS 'The sink that it waits for.';
COMMENT ON COLUMN walpost.parked.organization_id IS 'The tenant; order is kept within each of its lanes.';
COMMENT ON COLUMN walpost.parked.lane IS 'Which lane of the tenant; empty for its own.';
COMMENT ON COLUMN walpost.parked.history IS 'The history that order_lsn belongs to.';
COMMENT ON COLUMN walpost.parked.order_lsn IS 'First key of the order: the commit LSN, or for the event of a job what had been received when it was parked.';
COMMENT ON COLUMN walpost.parked.order_job IS 'Second key of the order: events of jobs come after what was live at that LSN.';
COMMENT ON COLUMN walpost.parked.place IS 'Last key of the order: the ordinal in the transaction, or a running number.';
COMMENT ON COLUMN walpost.parked.commit_lsn IS 'Commit LSN of its transaction; null for the event of a job.';
COMMENT ON COLUMN walpost.parked.ordinal IS 'Its number in that transaction, from 0; null for the event of a job.';
COMMENT ON COLUMN walpost.parked.job IS 'The replay or redrive that sends it; null for an event of the stream.';
COMMENT ON COLUMN walpost.parked.job_row IS
  'The row that the job found: created_xid and seq in the outbox, or the number of the dead letter; null for an event of the stream.';
COMMENT ON COLUMN walpost.parked.event_id IS 'Id of the event.';
COMMENT ON COLUMN walpost.parked.event_type IS 'What happened.';
COMMENT ON COLUMN walpost.parked.event_version IS 'Version of the schema of the payload.';
COMMENT ON COLUMN walpost.parked.topic IS 'Routes choose by it.';
COMMENT ON COLUMN walpost.parked.entity_type IS 'Kind of the thing that the event is about.';
COMMENT ON COLUMN walpost.parked.entity_id IS 'Id of the thing that the event is about.';
COMMENT ON COLUMN walpost.parked.target IS 'Optional hint for routes.';
COMMENT ON COLUMN walpost.parked.idempotency_key IS 'The producer''s own key.';
COMMENT ON COLUMN walpost.parked.payload IS 'The payload, exactly as it was received.';
COMMENT ON COLUMN walpost.parked.headers IS 'The headers, exactly as they were received.';
COMMENT ON COLUMN walpost.parked.created_at IS 'When the row was written, as the envelope prints it.';
COMMENT ON COLUMN walpost.parked.committed_at IS 'When its transaction committed.';
COMMENT ON COLUMN walpost.parked.size IS 'Bytes of the row, for the size of batches.';
COMMENT ON COLUMN walpost.parked.received_at IS 'When walpost received it.';
COMMENT ON COLUMN walpost.parked.parked_at IS 'When it was stored here.';
