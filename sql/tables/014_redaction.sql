-- Topics whose events hold what must not lie about: once they are settled, payload and headers of their rows go.

ALTER TABLE walpost.outbox ADD COLUMN redacted_at timestamptz;
ALTER TABLE walpost.dead_letters ADD COLUMN redacted_at timestamptz;

CREATE TABLE walpost.redaction_marks (
  topic text NOT NULL,
  below xid8 NOT NULL,

  CONSTRAINT redaction_marks_pkey PRIMARY KEY (topic)
);

-- The table has a few dozen rows.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE walpost.settings ADD CONSTRAINT settings_redact_when_settled CHECK (
  name <> 'redact_when_settled' OR jsonb_typeof(value) = 'boolean');

COMMENT ON COLUMN walpost.outbox.redacted_at IS
  'When walpost.prune has replaced payload and headers; such a row is never sent again. Null while it is whole.';
COMMENT ON COLUMN walpost.dead_letters.redacted_at IS
  'When walpost.prune has replaced payload and headers; such a letter is never sent again. Null while it is whole.';
COMMENT ON TABLE walpost.redaction_marks IS 'How far walpost.prune has redacted, for each row of the setting redact_when_settled.';
COMMENT ON COLUMN walpost.redaction_marks.topic IS 'The topic of the setting; * for all without one of their own.';
COMMENT ON COLUMN walpost.redaction_marks.below IS 'Rows of transactions before this one are done.';
COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. redact_when_settled: true removes payload and headers of settled rows. idempotency_hours, delivery_log_hours, job_hours: how long keys, results, the log and ended jobs are kept. organization_claims: names of the claims of a token that hold the organization. alert_...: thresholds of walpost.alerts.';
