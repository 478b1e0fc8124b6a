-- Uniqueness of idempotency keys lives in a table of its own: outbox rows are pruned, and the outbox may be partitioned by
-- time, where no unique index over the key alone is possible.

CREATE TABLE walpost.idempotency_keys (
  organization_id uuid        NOT NULL,
  idempotency_key text        NOT NULL,
  event_id        uuid        NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (organization_id, idempotency_key),
  CONSTRAINT idempotency_keys_length CHECK (char_length(idempotency_key) BETWEEN 1 AND 512)
);

CREATE INDEX idempotency_keys_created_at_idx ON walpost.idempotency_keys (created_at);

COMMENT ON TABLE walpost.idempotency_keys IS 'The keys that walpost.publish has seen, and the event that each stands for.';
COMMENT ON INDEX walpost.idempotency_keys_created_at_idx IS 'For removing old keys.';
COMMENT ON COLUMN walpost.idempotency_keys.organization_id IS 'Keys are unique inside an organization.';
COMMENT ON COLUMN walpost.idempotency_keys.idempotency_key IS 'The producer''s key.';
COMMENT ON COLUMN walpost.idempotency_keys.event_id IS 'The first event with that key; the row in the outbox may be pruned by now.';
COMMENT ON COLUMN walpost.idempotency_keys.created_at IS 'When the key was first used.';
