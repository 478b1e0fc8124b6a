-- Secrets that sign what walpost.emit writes.
--
-- Row-level security guards them beside the grants: neither pg_read_all_data nor default privileges of the database open the table. The
-- role model makes the policy for the relay.

CREATE TABLE walpost.emit_keys (
  id          integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
  secret      bytea       NOT NULL,
  created_xid xid8        NOT NULL DEFAULT pg_current_xact_id(),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz,

  CONSTRAINT emit_keys_pkey PRIMARY KEY (id),
  CONSTRAINT emit_keys_secret_32_bytes CHECK (octet_length(secret) = 32),
  CONSTRAINT emit_keys_expires_at_finite CHECK (isfinite(expires_at))
);

ALTER TABLE walpost.emit_keys ENABLE ROW LEVEL SECURITY;
-- ANALYZE would keep samples of the secrets in pg_statistic.
ALTER TABLE walpost.emit_keys ALTER COLUMN secret SET STATISTICS 0;

COMMENT ON TABLE walpost.emit_keys IS 'Secrets that sign what walpost.emit writes; for the owner of the schema and the relay only.';
COMMENT ON COLUMN walpost.emit_keys.id IS 'Number of the key, which each message names; the highest one signs.';
COMMENT ON COLUMN walpost.emit_keys.secret IS 'The key of HMAC-SHA256.';
COMMENT ON COLUMN walpost.emit_keys.created_xid IS 'The transaction that made it; that one cannot sign with it yet.';
COMMENT ON COLUMN walpost.emit_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN walpost.emit_keys.expires_at IS
  'A message with this key is refused when its transaction committed later than that; null while the key signs.';

-- The first key; walpost.rotate_emit_key makes the following ones in the same way.
INSERT INTO walpost.emit_keys (secret)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
