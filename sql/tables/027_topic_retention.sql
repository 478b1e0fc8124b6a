-- How long rows of a topic stay in the outbox, and what is left of an event when its row has gone.

-- The table has a few dozen rows. settings_number asks for a number, 0 or more.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE walpost.settings ADD CONSTRAINT settings_retention_hours CHECK (
  name <> 'retention_hours'
  OR topic <> '*' AND CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric <= 87600 ELSE false END);

CREATE TABLE walpost.prune_marks (
  topic  text   NOT NULL,
  xid    xid8   NOT NULL,
  seq    bigint NOT NULL,
  topics text[] NOT NULL,

  CONSTRAINT prune_marks_pkey PRIMARY KEY (topic)
);

CREATE TABLE walpost.pruned_events (
  event_id        uuid        NOT NULL,
  organization_id uuid        NOT NULL,
  event_type      text        NOT NULL,
  created_at      timestamptz NOT NULL,
  pruned_at       timestamptz NOT NULL,

  CONSTRAINT pruned_events_pkey PRIMARY KEY (event_id)
);

CREATE INDEX pruned_events_pruned_at_idx ON walpost.pruned_events (pruned_at);

COMMENT ON TABLE walpost.prune_marks IS
  'How far walpost.prune has removed rows of a topic with retention_hours, and of all others (*). A topic whose row here is deleted is read from its beginning again.';
COMMENT ON COLUMN walpost.prune_marks.topic IS 'The topic of the setting; * for all without one of their own.';
COMMENT ON COLUMN walpost.prune_marks.xid IS 'The last row that is done: its created_xid. Rows before it are done.';
COMMENT ON COLUMN walpost.prune_marks.seq IS 'The last row that is done: its seq.';
COMMENT ON COLUMN walpost.prune_marks.topics IS 'The topics that had a setting of their own then. With others the mark counts no more.';
COMMENT ON TABLE walpost.pruned_events IS
  'Events whose rows walpost.prune has removed while the delivery log knew their tenant: what walpost.event_timeline needs to find them there.';
COMMENT ON INDEX walpost.pruned_events_pruned_at_idx IS 'Removing what is old.';
COMMENT ON COLUMN walpost.pruned_events.event_id IS 'Id of the event.';
COMMENT ON COLUMN walpost.pruned_events.organization_id IS 'The tenant.';
COMMENT ON COLUMN walpost.pruned_events.event_type IS 'What happened.';
COMMENT ON COLUMN walpost.pruned_events.created_at IS 'When the row was written.';
COMMENT ON COLUMN walpost.pruned_events.pruned_at IS 'When it was removed.';
COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. check_event_types: off, warn or strict, whether publish asks for types and versions in walpost.event_types. retention_hours: how long rows of a topic stay in the outbox; the others stay for prune.retention. redact_when_settled: true removes payload and headers of settled rows. idempotency_hours, delivery_log_hours, job_hours: how long keys, results, the log and ended jobs are kept. organization_claims: names of the claims of a token that hold the organization. endpoints_per_organization: how many endpoints a tenant may have. endpoints_on_loopback: true also accepts endpoints on this machine, for development. alert_...: thresholds of walpost.alerts.';
