-- Event types that an installation knows, each version with the JSON Schema of its payload.

CREATE TABLE walpost.event_types (
  event_type    text        NOT NULL,
  event_version smallint    NOT NULL DEFAULT 1,
  schema        jsonb       NOT NULL DEFAULT '{}',
  description   text,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT event_types_pkey PRIMARY KEY (event_type, event_version),
  CONSTRAINT event_types_event_type CHECK (char_length(event_type) BETWEEN 1 AND 255 AND NOT starts_with(event_type, 'walpost.')),
  CONSTRAINT event_types_event_version CHECK (event_version >= 1),
  CONSTRAINT event_types_schema CHECK (jsonb_typeof(schema) IN ('object', 'boolean'))
);

-- The table has a few dozen rows.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE walpost.settings ADD CONSTRAINT settings_check_event_types CHECK (
  name <> 'check_event_types' OR value IN ('"off"', '"warn"', '"strict"'));

COMMENT ON TABLE walpost.event_types IS
  'Event types and their versions. With check_event_types in walpost.settings, publish asks for them; walpost types writes TypeScript from them.';
COMMENT ON COLUMN walpost.event_types.event_type IS 'What happened, such as job.completed.';
COMMENT ON COLUMN walpost.event_types.event_version IS 'Version of the schema of the payload, from 1.';
COMMENT ON COLUMN walpost.event_types.schema IS
  'JSON Schema of the payload, for people and for walpost types; {} is any payload. No payload is compared with it here.';
COMMENT ON COLUMN walpost.event_types.description IS 'What it means, in a sentence.';
COMMENT ON COLUMN walpost.event_types.registered_at IS 'When the row was written.';
COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. check_event_types: off, warn or strict, whether publish asks for types and versions in walpost.event_types. redact_when_settled: true removes payload and headers of settled rows. idempotency_hours, delivery_log_hours, job_hours: how long keys, results, the log and ended jobs are kept. organization_claims: names of the claims of a token that hold the organization. alert_...: thresholds of walpost.alerts.';
