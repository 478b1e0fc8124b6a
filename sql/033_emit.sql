-- Events without a row: walpost.emit writes one as a logical message into the WAL, in the transaction of the caller.
--
-- Any role may call pg_logical_emit_message, so a message counts only with our signature: HMAC-SHA256 under a secret that
-- nobody but the owner of this schema and the relay can read. It covers the whole event and the transaction's id, so that
-- a message which somebody has read from the WAL is worth nothing in another transaction.
--
-- The content is one line and the fields after it, so that the relay gets the text of the payload as it was printed:
--
--   <signature, 64 hex digits> 1 <key> <transaction> <bytes of each field, or - for null>\n<the fields, one after the other>
--
-- in the order of the array in walpost.emit. The signature covers everything behind it.

ALTER TABLE walpost.cursor ADD COLUMN messages boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN walpost.cursor.messages IS
  'Whether the relay of this slot delivers what walpost.emit writes (source.messages); where none does, walpost.emit is an error.';

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

-- Beside the grants: neither pg_read_all_data nor default privileges of the database open it.
ALTER TABLE walpost.emit_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY relay ON walpost.emit_keys FOR SELECT USING (
  EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = 'walpost_relay' AND pg_has_role(r.oid, 'USAGE')));

COMMENT ON TABLE walpost.emit_keys IS 'Secrets that sign what walpost.emit writes; for the owner of the schema and the relay only.';
COMMENT ON POLICY relay ON walpost.emit_keys IS 'The relay needs them to tell an event from a message of somebody else.';
COMMENT ON COLUMN walpost.emit_keys.id IS 'Number of the key, which each message names; the highest one signs.';
COMMENT ON COLUMN walpost.emit_keys.secret IS 'The key of HMAC-SHA256.';
COMMENT ON COLUMN walpost.emit_keys.created_xid IS 'The transaction that made it; that one cannot sign with it yet.';
COMMENT ON COLUMN walpost.emit_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN walpost.emit_keys.expires_at IS
  'A message with this key is refused when its transaction committed later than that; null while the key signs.';

CREATE FUNCTION walpost.hmac_sha256(message bytea, secret bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
-- RFC 2104 for a secret of at most 64 bytes. What bit_send prints begins with four bytes of length.
BEGIN ATOMIC
  SELECT sha256(substr(bit_send(k.bits # repeat('01011100', 64)::bit(512)), 5)
             || sha256(substr(bit_send(k.bits # repeat('00110110', 64)::bit(512)), 5) || message))
    FROM (SELECT ('x' || rpad(encode(secret, 'hex'), 128, '0'))::bit(512) AS bits) AS k;
END;

CREATE FUNCTION walpost.rotate_emit_key(grace interval DEFAULT '1 day') RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  ends_at CONSTANT timestamptz := clock_timestamp() + grace;
  new_id  integer;
BEGIN
  IF grace IS NULL OR grace < interval '0' OR grace > interval '1 year' THEN
    RAISE EXCEPTION 'walpost.rotate_emit_key: grace must be from 0 to 1 year'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'How long transactions that are running may still commit what they have emitted.';
  END IF;
  LOCK TABLE walpost.emit_keys IN SHARE ROW EXCLUSIVE MODE;
  UPDATE walpost.emit_keys AS k SET expires_at = ends_at WHERE k.expires_at IS NULL OR k.expires_at > ends_at;
  INSERT INTO walpost.emit_keys (secret)
  VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
  RETURNING id INTO new_id;
  RETURN new_id;
END;
$function$;

CREATE FUNCTION walpost.may_emit(organization_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- The rule of 026_organizations.sql, for a function that runs as the owner. The caller is the role of the session, and the
-- claims are read from where auth.jwt() reads them: that function is somebody else's and must not run with our rights.
AS $function$
DECLARE
  caller CONSTANT name := coalesce(nullif(current_setting('role', true), 'none')::name, session_user);
  works_for text;
BEGIN
  IF EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = caller AND (r.rolsuper OR r.rolbypassrls)) THEN
    RETURN true;
  END IF;
  IF coalesce(current_setting('walpost.scope', true), '') <> 'all' THEN
    IF EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                WHERE n.nspname = 'auth' AND p.proname = 'jwt' AND p.pronargs = 0) THEN
      SELECT coalesce(t.claims -> 'app_metadata' ->> 'organization_id', t.claims ->> 'organization_id') INTO works_for
        FROM (SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                              nullif(current_setting('request.jwt.claims', true), ''))::jsonb AS claims) AS t;
    END IF;
    works_for := lower(coalesce(nullif(works_for, ''), nullif(current_setting('app.current_org_id', true), '')));
  END IF;
  IF works_for IS NULL THEN
    RETURN pg_has_role(caller, (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'walpost'), 'USAGE');
  END IF;
  RETURN works_for = may_emit.organization_id::text;
END;
$function$;

CREATE FUNCTION walpost.emit(
  organization_id uuid,
  event_type      text,
  payload         jsonb,
  topic           text    DEFAULT 'default',
  entity_type     text    DEFAULT NULL,
  entity_id       text    DEFAULT NULL,
  target          text    DEFAULT NULL,
  headers         jsonb   DEFAULT '{}',
  event_version   integer DEFAULT 1
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  chosen_topic   CONSTANT text    := coalesce(topic, 'default');
  chosen_headers CONSTANT jsonb   := walpost.with_trace(coalesce(headers, '{}'));
  chosen_version CONSTANT integer := coalesce(event_version, 1);
  new_id         CONSTANT uuid    := walpost.uuid_v7();
  bytes_at_most  integer := 512; -- what every topic accepts
  fields         text[];
  key            walpost.emit_keys;
  signed         bytea;
BEGIN
  IF octet_length(payload::text) > 512 THEN
    bytes_at_most := walpost.max_payload_bytes(chosen_topic);
  END IF;
  IF walpost.is_event(organization_id, event_type, payload, chosen_topic, entity_type, entity_id, target,
                      chosen_headers, NULL, chosen_version, bytes_at_most) IS NOT TRUE THEN
    PERFORM walpost.refuse_event('walpost.emit', organization_id, event_type, payload, chosen_topic, entity_type, entity_id,
                                 target, chosen_headers, NULL, chosen_version, bytes_at_most);
  END IF;
  IF NOT walpost.may_emit(organization_id) THEN
    RAISE EXCEPTION 'walpost.emit: the session does not work for this organization'
      USING ERRCODE = 'insufficient_privilege', HINT = 'Set app.current_org_id in this transaction.';
  END IF;
  IF NOT EXISTS (SELECT FROM walpost.cursor AS c WHERE c.messages) THEN
    RAISE EXCEPTION 'walpost.emit: no relay delivers messages, so the event would be lost'
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Start walpost with source.messages: true, or use walpost.publish.';
  END IF;
  SELECT * INTO STRICT key FROM walpost.emit_keys AS k ORDER BY k.id DESC LIMIT 1;
  IF key.created_xid = pg_current_xact_id() THEN
    RAISE EXCEPTION 'walpost.emit: this transaction has made a new key'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Commit it first: nobody else can see the key before that.';
  END IF;

  fields := ARRAY[new_id::text, organization_id::text, event_type, chosen_version::text, chosen_topic, entity_type, entity_id,
                  target, payload::text, chosen_headers::text,
                  to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')];
  signed := convert_to(
    format(' 1 %s %s ', key.id, pg_current_xact_id())
    || (SELECT string_agg(coalesce(octet_length(convert_to(f.it, 'UTF8'))::text, '-'), ' ' ORDER BY f.n)
          FROM unnest(fields) WITH ORDINALITY AS f (it, n))
    || E'\n' || array_to_string(fields, ''), 'UTF8');
  -- As bytes: text would arrive in the encoding of this database.
  PERFORM pg_logical_emit_message(true, 'walpost', convert_to(encode(walpost.hmac_sha256(signed, key.secret), 'hex'), 'UTF8') || signed);
  RETURN new_id;
END;
$function$;

-- The operator's tables by name, because one of them is not for operators.
CREATE OR REPLACE FUNCTION walpost.role_grants() RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN $json$ {
  "walpost_publisher": [
    "INSERT (event_id, organization_id, event_type, event_version, topic, entity_type, entity_id, target, idempotency_key, payload, headers) ON walpost.outbox",
    "SELECT ON walpost.settings",
    "SELECT, INSERT (organization_id, idempotency_key, event_id) ON walpost.idempotency_keys",
    "SELECT, INSERT (organization_id, idempotency_key, command, arguments_hash), UPDATE (result) ON walpost.command_results",
    "EXECUTE ON FUNCTION walpost.publish, walpost.publish_many, walpost.emit, walpost.given_events, walpost.refuse_events, walpost.is_event, walpost.refuse_event, walpost.with_trace, walpost.max_payload_bytes, walpost.uuid_v7, walpost.once, walpost.refuse_command, walpost.current_organization, walpost.sees_every_organization, walpost.check_event"
  ],
  "walpost_reader": [
    "SELECT ON walpost.outbox, walpost.parked, walpost.dead_letters, walpost.delivery_log, walpost.checkpoints, walpost.settings, walpost.organization_health, walpost.queue_status, walpost.error_summary, walpost.event_timeline",
    "SELECT (slot, system_identifier, lsn, advanced_at) ON walpost.cursor",
    "EXECUTE ON FUNCTION walpost.event_status, walpost.pending_events, walpost.proven_snapshot, walpost.is_proven, walpost.uuid_or_null, walpost.uuid_time, walpost.setting, walpost.current_organization, walpost.sees_every_organization"
  ],
  "walpost_relay": [
    "SELECT ON ALL TABLES IN SCHEMA walpost",
    "INSERT, UPDATE ON walpost.cursor, walpost.jobs",
    "INSERT, UPDATE, DELETE ON walpost.parked, walpost.dead_letters, walpost.checkpoints, walpost.delivery_log",
    "USAGE ON SEQUENCE walpost.parked_place",
    "EXECUTE ON FUNCTION walpost.prune, walpost.event_status, walpost.pending_events, walpost.proven_snapshot, walpost.is_proven, walpost.uuid_or_null, walpost.uuid_time, walpost.setting, walpost.current_organization, walpost.sees_every_organization"
  ],
  "walpost_operator": [
    "SELECT ON walpost.outbox, walpost.settings, walpost.idempotency_keys, walpost.command_results, walpost.cursor, walpost.checkpoints, walpost.jobs, walpost.parked, walpost.dead_letters, walpost.delivery_log, walpost.migrations",
    "SELECT ON walpost.health, walpost.organization_health, walpost.cursor_health, walpost.alerts, walpost.event_timeline, walpost.queue_status, walpost.error_summary",
    "INSERT, UPDATE ON walpost.jobs",
    "UPDATE, DELETE ON walpost.parked, walpost.dead_letters",
    "DELETE ON walpost.cursor, walpost.checkpoints, walpost.idempotency_keys, walpost.command_results",
    "INSERT, UPDATE, DELETE ON walpost.settings",
    "USAGE ON SEQUENCE walpost.parked_place",
    "EXECUTE ON FUNCTION walpost.prune, walpost.rotate_emit_key, walpost.event_status, walpost.pending_events, walpost.proven_snapshot, walpost.is_proven, walpost.uuid_or_null, walpost.uuid_time, walpost.setting, walpost.current_organization, walpost.sees_every_organization"
  ]
} $json$::jsonb;

COMMENT ON FUNCTION walpost.hmac_sha256(bytea, bytea) IS 'HMAC-SHA256 of a message; the secret has at most 64 bytes.';
COMMENT ON FUNCTION walpost.rotate_emit_key(interval) IS
  'Makes the key that signs what walpost.emit writes from now on, and returns its number. The keys before it hold for transactions that commit within the grace.';
COMMENT ON FUNCTION walpost.may_emit(uuid) IS 'Whether the session may emit events of this organization.';
COMMENT ON FUNCTION walpost.emit(uuid, text, jsonb, text, text, text, text, jsonb, integer) IS
  'Sends one event with the transaction of the caller and returns its id, like walpost.publish but without a row: nothing can heal or replay it.';
COMMENT ON FUNCTION walpost.event_status(uuid) IS
  'pending, delivered, parked or dead; the worst of its sinks. Null when the event is not there, or not any more; one of walpost.emit is known only while it is parked or dead.';

SELECT walpost.rotate_emit_key();
REVOKE ALL ON TABLE walpost.emit_keys FROM PUBLIC;
REVOKE ALL ON FUNCTION walpost.hmac_sha256(bytea, bytea), walpost.rotate_emit_key(interval), walpost.may_emit(uuid),
  walpost.emit(uuid, text, jsonb, text, text, text, text, jsonb, integer) FROM PUBLIC;
