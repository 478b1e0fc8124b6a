-- What became of each attempt, and the lanes that fail.

CREATE TABLE walpost.delivery_log (
  id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot            text        NOT NULL,
  sink            text        NOT NULL,
  organization_id text        NOT NULL,
  lane            text        NOT NULL DEFAULT '',
  first_event_id  text        NOT NULL,
  last_event_id   text        NOT NULL,
  event_ids       text[]      NOT NULL,
  events          integer     NOT NULL,
  attempt         integer     NOT NULL,
  job             text,
  outcome         text        NOT NULL,
  reason          text,
  answer          text,
  duration_ms     real        NOT NULL,
  at              timestamptz NOT NULL,

  CONSTRAINT delivery_log_pkey PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE INDEX delivery_log_at_idx ON walpost.delivery_log (at);
CREATE INDEX delivery_log_organization_idx ON walpost.delivery_log (organization_id, at);

COMMENT ON TABLE walpost.delivery_log IS
  'What became of each attempt (delivery.log). It is written beside the path of the events: under pressure rows are left out, and after seven days they are removed.';
COMMENT ON INDEX walpost.delivery_log_at_idx IS 'Removing what is old.';
COMMENT ON INDEX walpost.delivery_log_organization_idx IS 'The attempts of one tenant.';
COMMENT ON COLUMN walpost.delivery_log.id IS 'Number of the row.';
COMMENT ON COLUMN walpost.delivery_log.slot IS 'The slot whose leader tried.';
COMMENT ON COLUMN walpost.delivery_log.sink IS 'Where it was to go.';
COMMENT ON COLUMN walpost.delivery_log.organization_id IS 'The tenant.';
COMMENT ON COLUMN walpost.delivery_log.lane IS 'Which lane of the tenant; empty for its own.';
COMMENT ON COLUMN walpost.delivery_log.first_event_id IS 'First event of the batch.';
COMMENT ON COLUMN walpost.delivery_log.last_event_id IS 'Last event of the batch.';
COMMENT ON COLUMN walpost.delivery_log.event_ids IS 'All events of the batch, in order.';
COMMENT ON COLUMN walpost.delivery_log.events IS 'How many events the batch had.';
COMMENT ON COLUMN walpost.delivery_log.attempt IS '1 for the first try.';
COMMENT ON COLUMN walpost.delivery_log.job IS 'The replay or redrive that sent it; null for events of the stream.';
COMMENT ON COLUMN walpost.delivery_log.outcome IS 'The first answer that is not delivered; delivered when all were.';
COMMENT ON COLUMN walpost.delivery_log.reason IS 'What went wrong, in the words of walpost; null when delivered.';
COMMENT ON COLUMN walpost.delivery_log.answer IS
  'What the destination said, in its own words, cut, without the secrets of the sink; not for walpost_reader. Null when it said nothing.';
COMMENT ON COLUMN walpost.delivery_log.duration_ms IS 'How long the attempt took.';
COMMENT ON COLUMN walpost.delivery_log.at IS 'When the answer came.';

CREATE TABLE walpost.lanes (
  slot            text        NOT NULL,
  sink            text        NOT NULL,
  organization_id text        NOT NULL,
  lane            text        NOT NULL DEFAULT '',
  state           text        NOT NULL,
  failing_since   timestamptz,
  attempts        integer,
  code            text,
  reason          text,
  answer          text,
  next_try_at     timestamptz,
  paused_by       text,
  paused_at       timestamptz,

  CONSTRAINT lanes_pkey PRIMARY KEY (slot, sink, organization_id, lane)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE INDEX lanes_organization_idx ON walpost.lanes (organization_id);

COMMENT ON TABLE walpost.lanes IS
  'Lanes that fail, or are paused; a lane without a row does neither. The leader writes it at most once a second; see walpost parked list.';
COMMENT ON INDEX walpost.lanes_organization_idx IS 'The lanes of one tenant.';
COMMENT ON COLUMN walpost.lanes.slot IS 'The slot whose leader delivers.';
COMMENT ON COLUMN walpost.lanes.sink IS 'Where it goes.';
COMMENT ON COLUMN walpost.lanes.organization_id IS 'The tenant.';
COMMENT ON COLUMN walpost.lanes.lane IS 'Which lane of the tenant; empty for its own.';
COMMENT ON COLUMN walpost.lanes.state IS 'failing: the first event was not accepted, and is tried again; refusing: the destination answers, and refuses everything.';
COMMENT ON COLUMN walpost.lanes.failing_since IS 'When it began, or something was last accepted.';
COMMENT ON COLUMN walpost.lanes.attempts IS 'Failures in a row; null when not known.';
COMMENT ON COLUMN walpost.lanes.code IS 'Kind of the last failure; null when not known.';
COMMENT ON COLUMN walpost.lanes.reason IS 'The last failure in a sentence, without secrets.';
COMMENT ON COLUMN walpost.lanes.answer IS 'What the destination said, for operators; null when not known.';
COMMENT ON COLUMN walpost.lanes.next_try_at IS 'When it is tried again; null while it is being tried.';
COMMENT ON COLUMN walpost.lanes.paused_by IS 'Who paused it.';
COMMENT ON COLUMN walpost.lanes.paused_at IS 'When it was paused.';
