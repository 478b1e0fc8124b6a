-- Jobs: scans that the leader runs over the outbox (heal, replay) or over the dead letters (redrive).
-- Whoever inserts a row, with walpost replay or by hand, wakes the leader; it also looks when it starts.

CREATE TABLE walpost.jobs (
  id             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot           text        NOT NULL,
  kind           text        NOT NULL,
  state          text        NOT NULL DEFAULT 'queued',
  reason         text,
  spec           jsonb       NOT NULL DEFAULT '{}',
  from_lsn       pg_lsn,
  after_snapshot pg_snapshot,
  before_xid     xid8,
  place_xid      xid8,
  place_seq      bigint,
  scanned        bigint      NOT NULL DEFAULT 0,
  settled        bigint      NOT NULL DEFAULT 0,
  sent           jsonb       NOT NULL DEFAULT '{}',
  unrouted       bigint      NOT NULL DEFAULT 0,
  report         jsonb,
  error          text,
  requested_by   text        NOT NULL DEFAULT session_user,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at     timestamptz,
  saved_at       timestamptz,
  ended_at       timestamptz,

  CONSTRAINT jobs_pkey PRIMARY KEY (id),
  CONSTRAINT jobs_state CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  CONSTRAINT jobs_spec_object CHECK (jsonb_typeof(spec) = 'object'),
  CONSTRAINT jobs_sent_object CHECK (jsonb_typeof(sent) = 'object'),
  CONSTRAINT jobs_place CHECK ((place_xid IS NULL) = (place_seq IS NULL)),
  CONSTRAINT jobs_ended CHECK ((ended_at IS NULL) = (state IN ('queued', 'running')))
);

CREATE INDEX jobs_open_idx ON walpost.jobs (slot, id) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_one_heal_idx ON walpost.jobs (slot) WHERE kind = 'heal' AND state IN ('queued', 'running');

COMMENT ON TABLE walpost.jobs IS 'Scans that the leader has to run, runs, or has run; see walpost jobs.';
COMMENT ON INDEX walpost.jobs_open_idx IS 'What the leader looks for.';
COMMENT ON INDEX walpost.jobs_one_heal_idx IS 'A slot has at most one healing under way; while it is open nothing new is proven.';
COMMENT ON COLUMN walpost.jobs.id IS 'Number of the job; receivers see it as replay-17.';
COMMENT ON COLUMN walpost.jobs.slot IS 'The slot whose leader runs it.';
COMMENT ON COLUMN walpost.jobs.kind IS 'heal: a lost slot; replay: on request; redrive: dead letters, on request. A job of another kind fails.';
COMMENT ON COLUMN walpost.jobs.state IS 'queued, running, then done, failed or cancelled. A running job goes on with the next leader.';
COMMENT ON COLUMN walpost.jobs.reason IS 'Why it was made, for a person.';
COMMENT ON COLUMN walpost.jobs.spec IS
  'Which rows: organization, event_type, topic, event_ids, sinks; rate is events a second. What is left out does not restrict.';
COMMENT ON COLUMN walpost.jobs.from_lsn IS 'The position that was asked for, or that was last settled.';
COMMENT ON COLUMN walpost.jobs.after_snapshot IS 'Rows that it sees are left out; null leaves out none.';
COMMENT ON COLUMN walpost.jobs.before_xid IS 'Rows of this and later transactions are left out; null leaves out none.';
COMMENT ON COLUMN walpost.jobs.place_xid IS 'Rows up to (place_xid, place_seq) are settled; null before the first page.';
COMMENT ON COLUMN walpost.jobs.place_seq IS 'See place_xid. For redrive it is the id of a dead letter, and place_xid is 0.';
COMMENT ON COLUMN walpost.jobs.scanned IS 'Rows that were looked at.';
COMMENT ON COLUMN walpost.jobs.settled IS 'Events among them that went to a sink: delivered, parked there, or a dead letter of it.';
COMMENT ON COLUMN walpost.jobs.sent IS 'How many of them went to which sink; an event may go to several.';
COMMENT ON COLUMN walpost.jobs.unrouted IS 'Events among them that no route matched.';
COMMENT ON COLUMN walpost.jobs.report IS 'What it came to, at the end.';
COMMENT ON COLUMN walpost.jobs.error IS 'Why it failed.';
COMMENT ON COLUMN walpost.jobs.requested_by IS 'Role that asked for it.';
COMMENT ON COLUMN walpost.jobs.created_at IS 'When it was asked for.';
COMMENT ON COLUMN walpost.jobs.started_at IS 'When a leader first took it up.';
COMMENT ON COLUMN walpost.jobs.saved_at IS 'When its place was last saved.';
COMMENT ON COLUMN walpost.jobs.ended_at IS 'When it was done, failed or cancelled.';

-- Any role may notify any channel. So a notification only makes the leader look at rows that need a right to be written, and
-- not more often than twice a second.

CREATE TABLE walpost.retry_requests (
  id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot            text        NOT NULL,
  sink            text        NOT NULL,
  organization_id text        NOT NULL,
  lane            text        NOT NULL DEFAULT '',
  requested_by    text        NOT NULL DEFAULT session_user,
  requested_at    timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT retry_requests_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE walpost.retry_requests IS
  'Lanes whose parked events an operator wants to be tried now (walpost parked retry, move); the leader removes each as it sees to it.';
COMMENT ON COLUMN walpost.retry_requests.id IS 'Number of the request.';
COMMENT ON COLUMN walpost.retry_requests.slot IS 'The slot whose leader is asked.';
COMMENT ON COLUMN walpost.retry_requests.sink IS 'The sink of the lane.';
COMMENT ON COLUMN walpost.retry_requests.organization_id IS 'The tenant of the lane.';
COMMENT ON COLUMN walpost.retry_requests.lane IS 'Which lane of the tenant; empty for its own.';
COMMENT ON COLUMN walpost.retry_requests.requested_by IS 'Role that asked.';
COMMENT ON COLUMN walpost.retry_requests.requested_at IS 'When it was asked for.';
