-- Endpoints: webhooks of customers. Each belongs to one organization and one sink, and is a lane of its own.
--
-- Only functions write these tables (functions/19 to 22). Each change of an endpoint is also a row of walpost.endpoint_changes, written in
-- the same transaction. That table is in the publication of the outbox, so the relay reads changes and events in the order of commits.

CREATE TABLE walpost.endpoints (
  endpoint_id      uuid        NOT NULL DEFAULT walpost.uuid_v7(),
  sink             text        NOT NULL,
  organization_id  uuid        NOT NULL,
  url              text        NOT NULL,
  event_types      text[]      NOT NULL,
  headers          jsonb       NOT NULL DEFAULT '{}',
  max_per_second   numeric,
  description      text,
  state            text        NOT NULL DEFAULT 'enabled',
  state_reason     text,
  state_changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  missed_since     timestamptz,
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT endpoints_pkey PRIMARY KEY (endpoint_id)
);

CREATE INDEX endpoints_organization_idx ON walpost.endpoints (organization_id, sink);
-- Headers may hold a token of the customer, and so may the path of a URL. ANALYZE would keep samples in pg_statistic.
ALTER TABLE walpost.endpoints ALTER COLUMN url SET STATISTICS 0, ALTER COLUMN headers SET STATISTICS 0;

COMMENT ON TABLE walpost.endpoints IS
  'Webhooks of customers; see docs/endpoints.md. Written by functions such as walpost.add_endpoint alone.';
COMMENT ON INDEX walpost.endpoints_organization_idx IS 'The endpoints of one tenant.';
COMMENT ON COLUMN walpost.endpoints.endpoint_id IS 'Id of the endpoint; as text it is the name of its lane.';
COMMENT ON COLUMN walpost.endpoints.sink IS 'The sink of the configuration with endpoints: true that delivers to it.';
COMMENT ON COLUMN walpost.endpoints.organization_id IS 'The tenant whose events it gets.';
COMMENT ON COLUMN walpost.endpoints.url IS 'Where the events are posted.';
COMMENT ON COLUMN walpost.endpoints.event_types IS 'Patterns of the event types that it gets; * stands for any text.';
COMMENT ON COLUMN walpost.endpoints.headers IS 'Further request headers: names and texts.';
COMMENT ON COLUMN walpost.endpoints.max_per_second IS 'Events a second at most; null: no limit of its own.';
COMMENT ON COLUMN walpost.endpoints.description IS 'For people.';
COMMENT ON COLUMN walpost.endpoints.state IS
  'enabled; paused: its events are parked; disabled: it gets nothing until it is enabled again. Others may come.';
COMMENT ON COLUMN walpost.endpoints.state_reason IS 'Why it is in this state, in a sentence; null when nothing was said.';
COMMENT ON COLUMN walpost.endpoints.state_changed_at IS 'Since when it is in this state.';
COMMENT ON COLUMN walpost.endpoints.missed_since IS
  'Events from then on were not sent to it because it was disabled; null when none was missed, or once walpost endpoints recover has sent them.';
COMMENT ON COLUMN walpost.endpoints.created_at IS 'When it was added.';
COMMENT ON COLUMN walpost.endpoints.updated_at IS 'When it was last changed.';

CREATE TABLE walpost.endpoint_secrets (
  secret_id   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  endpoint_id uuid        NOT NULL,
  secret      text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz,

  CONSTRAINT endpoint_secrets_pkey PRIMARY KEY (secret_id)
);

-- No foreign key: the secrets outlive their endpoint until what was committed before its removal is settled.
CREATE INDEX endpoint_secrets_endpoint_idx ON walpost.endpoint_secrets (endpoint_id);
-- As for walpost.emit_keys: security guards them beside the grants, and no statistics hold them. The role model makes the policy.
ALTER TABLE walpost.endpoint_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE walpost.endpoint_secrets ALTER COLUMN secret SET STATISTICS 0;

COMMENT ON TABLE walpost.endpoint_secrets IS 'Secrets that sign what is sent to endpoints; for the owner of the schema and the relay only.';
COMMENT ON INDEX walpost.endpoint_secrets_endpoint_idx IS 'The secrets of one endpoint.';
COMMENT ON COLUMN walpost.endpoint_secrets.secret_id IS 'Number of the secret; the highest one of an endpoint is its newest.';
COMMENT ON COLUMN walpost.endpoint_secrets.endpoint_id IS 'The endpoint; it may be removed already.';
COMMENT ON COLUMN walpost.endpoint_secrets.secret IS 'The secret, whsec_ and the base64 of 24 bytes.';
COMMENT ON COLUMN walpost.endpoint_secrets.created_at IS 'When it was made.';
COMMENT ON COLUMN walpost.endpoint_secrets.expires_at IS 'From then on nothing is signed with it; null for the newest.';

-- Rows are only inserted here, for the stream; walpost.prune removes old ones.
CREATE TABLE walpost.endpoint_changes (
  change_id       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  endpoint_id     uuid        NOT NULL,
  sink            text        NOT NULL,
  organization_id uuid        NOT NULL,
  change          text        NOT NULL,
  url             text        NOT NULL,
  event_types     text[]      NOT NULL,
  headers         jsonb       NOT NULL,
  max_per_second  numeric,
  state           text        NOT NULL,
  changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  changed_xid     xid8        NOT NULL DEFAULT pg_current_xact_id(),

  CONSTRAINT endpoint_changes_pkey PRIMARY KEY (change_id)
);

CREATE INDEX endpoint_changes_endpoint_idx ON walpost.endpoint_changes (endpoint_id, change_id);
CREATE INDEX endpoint_changes_changed_at_idx ON walpost.endpoint_changes (changed_at);
ALTER TABLE walpost.endpoint_changes ALTER COLUMN url SET STATISTICS 0, ALTER COLUMN headers SET STATISTICS 0;

COMMENT ON TABLE walpost.endpoint_changes IS
  'Each change of an endpoint, with the endpoint as it was afterwards and never a secret. The relay reads it from the stream, between the events.';
COMMENT ON INDEX walpost.endpoint_changes_endpoint_idx IS 'The changes of one endpoint, in order.';
COMMENT ON INDEX walpost.endpoint_changes_changed_at_idx IS 'Removing what is old.';
COMMENT ON COLUMN walpost.endpoint_changes.change_id IS
  'Order of the changes of one endpoint: a higher one committed later. Of different endpoints it says nothing.';
COMMENT ON COLUMN walpost.endpoint_changes.endpoint_id IS 'The endpoint.';
COMMENT ON COLUMN walpost.endpoint_changes.sink IS 'Its sink.';
COMMENT ON COLUMN walpost.endpoint_changes.organization_id IS 'The tenant.';
COMMENT ON COLUMN walpost.endpoint_changes.change IS
  'added, updated, secret (another one signs), paused, enabled, disabled, removed. Others may come.';
COMMENT ON COLUMN walpost.endpoint_changes.url IS 'As walpost.endpoints has it from then on, as the columns behind it.';
COMMENT ON COLUMN walpost.endpoint_changes.event_types IS 'Patterns of the event types.';
COMMENT ON COLUMN walpost.endpoint_changes.headers IS 'Further request headers.';
COMMENT ON COLUMN walpost.endpoint_changes.max_per_second IS 'Events a second at most; null: no limit of its own.';
COMMENT ON COLUMN walpost.endpoint_changes.state IS 'The state; of an endpoint that was removed, its last one.';
COMMENT ON COLUMN walpost.endpoint_changes.changed_at IS 'When it was changed, not when that committed.';
COMMENT ON COLUMN walpost.endpoint_changes.changed_xid IS 'The transaction that changed it, which ties the change to snapshots.';

CREATE TABLE walpost.endpoint_positions (
  slot       text   NOT NULL,
  change_id  bigint NOT NULL,
  commit_lsn pg_lsn NOT NULL,

  CONSTRAINT endpoint_positions_pkey PRIMARY KEY (slot, change_id)
);

CREATE INDEX endpoint_positions_change_id_idx ON walpost.endpoint_positions (change_id);

COMMENT ON TABLE walpost.endpoint_positions IS
  'Which changes of endpoints the relay of a slot has received, and where they committed. So the endpoints as they were at a position are known exactly.';
COMMENT ON INDEX walpost.endpoint_positions_change_id_idx IS 'Removing them with their change.';
COMMENT ON COLUMN walpost.endpoint_positions.slot IS 'The slot of the relay.';
COMMENT ON COLUMN walpost.endpoint_positions.change_id IS 'The change.';
COMMENT ON COLUMN walpost.endpoint_positions.commit_lsn IS 'Commit LSN of its transaction.';

CREATE TABLE walpost.endpoint_organizations (
  organization_id uuid NOT NULL,

  CONSTRAINT endpoint_organizations_pkey PRIMARY KEY (organization_id)
);

COMMENT ON TABLE walpost.endpoint_organizations IS
  'A row for each organization that has added an endpoint. walpost.add_endpoint locks it while it counts, so that calls at the same time keep to the limit.';
COMMENT ON COLUMN walpost.endpoint_organizations.organization_id IS 'The tenant.';

-- A copy of the database must not send to the customers of the original (as walpost.installation for rows). This row comes with the first
-- endpoint. Where it names another place than this one, endpoints get nothing until walpost endpoints adopt.
CREATE TABLE walpost.endpoint_installation (
  one               boolean     NOT NULL DEFAULT true,
  system_identifier text        NOT NULL,
  database_oid      oid         NOT NULL,
  database_name     text        NOT NULL,
  recorded_by       text        NOT NULL,
  recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT endpoint_installation_pkey PRIMARY KEY (one),
  CONSTRAINT endpoint_installation_one_row CHECK (one)
);

COMMENT ON TABLE walpost.endpoint_installation IS
  'The cluster and the database whose endpoints these are: one row, or none before the first endpoint. Elsewhere nothing is sent to them.';
COMMENT ON COLUMN walpost.endpoint_installation.one IS 'True: there is one row.';
COMMENT ON COLUMN walpost.endpoint_installation.system_identifier IS 'The cluster, as IDENTIFY_SYSTEM names it.';
COMMENT ON COLUMN walpost.endpoint_installation.database_oid IS 'The number of the database in that cluster.';
COMMENT ON COLUMN walpost.endpoint_installation.database_name IS 'Its name at that time, for a person.';
COMMENT ON COLUMN walpost.endpoint_installation.recorded_by IS 'add_endpoint, or adopt for walpost endpoints adopt.';
COMMENT ON COLUMN walpost.endpoint_installation.recorded_at IS 'When it was written.';

INSERT INTO walpost.settings (name, value) VALUES ('endpoints_per_organization', '50'), ('endpoints_on_loopback', 'false'),
  ('alert_failing_endpoints', '10'), ('alert_endpoint_failing_seconds', '3600')
ON CONFLICT ON CONSTRAINT settings_pkey DO NOTHING;

-- The table has a few dozen rows.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE walpost.settings ADD CONSTRAINT settings_endpoints CHECK (
  CASE name WHEN 'endpoints_per_organization' THEN jsonb_typeof(value) = 'number' AND value::text ~ '^[0-9]{1,6}$'
            WHEN 'endpoints_on_loopback' THEN jsonb_typeof(value) = 'boolean'
            ELSE true END);

COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. redact_when_settled: true removes payload and headers of settled rows. idempotency_hours, delivery_log_hours, job_hours: how long keys, results, the log and ended jobs are kept. organization_claims: names of the claims of a token that hold the organization. endpoints_per_organization: how many endpoints a tenant may have. endpoints_on_loopback: true also accepts endpoints on this machine, for development. alert_...: thresholds of walpost.alerts.';
