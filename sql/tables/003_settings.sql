-- Settings that functions in the database need; everything else is in walpost.yaml.

CREATE TABLE walpost.settings (
  name  text  NOT NULL,
  topic text  NOT NULL DEFAULT '*',
  value jsonb NOT NULL,

  CONSTRAINT settings_pkey PRIMARY KEY (name, topic),
  -- Small events need not look the limit up: no topic has one below 512 bytes.
  CONSTRAINT settings_max_payload_bytes CHECK (
    name <> 'max_payload_bytes'
    OR CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric BETWEEN 512 AND 1048576 ELSE false END
  ),
  CONSTRAINT settings_number CHECK (
    name NOT LIKE '%\_hours' AND name NOT LIKE 'alert\_%'
    OR CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric >= 0 ELSE false END
  ),
  CONSTRAINT settings_organization_claims CHECK (
    name <> 'organization_claims'
    OR topic = '*' AND jsonb_typeof(value) = 'array' AND value <> '[]'
       AND NOT jsonb_path_exists(value, '$[*] ? (@.type() != "string" || @ == "")')
  )
);

INSERT INTO walpost.settings (name, value) VALUES
  ('max_payload_bytes', '65536'), ('organization_claims', '["organization_id"]'), ('idempotency_hours', '168'), ('delivery_log_hours', '168'), ('job_hours', '720'),
  ('alert_undelivered', '1000'), ('alert_waiting', '100'), ('alert_oldest_undelivered_seconds', '300'),
  ('alert_average_delivery_seconds', '5'), ('alert_average_delivery_critical_seconds', '120'),
  ('alert_dead_letters_per_hour', '10'), ('alert_no_progress_seconds', '300'), ('alert_grace_seconds', '30'),
  ('alert_wal_bytes', '4294967296'), ('alert_held_seconds', '300'), ('alert_held_bytes', '67108864');

COMMENT ON TABLE walpost.settings IS 'Settings of the functions in this schema, for all topics or for one.';
COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. idempotency_hours, delivery_log_hours, job_hours: how long keys, results, the log and ended jobs are kept. organization_claims: names of the claims of a token that hold the organization. alert_...: thresholds of walpost.alerts.';
COMMENT ON COLUMN walpost.settings.topic IS 'The topic that it is for; * for every topic without a row of its own.';
COMMENT ON COLUMN walpost.settings.value IS 'The value.';
