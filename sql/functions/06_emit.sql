-- emit: an event without a row. It is written into the WAL as a logical message, in the transaction of the caller.
--
-- Any role may call pg_logical_emit_message, so a message counts only with our signature: HMAC-SHA256 under a secret that only the owner
-- of this schema and the relay can read. The signature covers the whole event and the id of the transaction, so a message that somebody
-- read from the WAL is worthless in another transaction.
--
-- The content is one line, followed by the fields, so that the relay gets the text of the payload as it was printed:
--
--   <signature, 64 hex digits> 1 <key> <transaction> <bytes of each field, or - for null>\n<the fields, one after the other>
--
-- in the order of the array in walpost.emit. The signature covers everything behind it.

CREATE OR REPLACE FUNCTION walpost_internal.hmac_sha256(message bytea, secret bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
-- RFC 2104 for a secret of at most 64 bytes. What bit_send prints begins with four bytes of length.
BEGIN ATOMIC
  SELECT sha256(substr(bit_send(k.bits # repeat('01011100', 64)::bit(512)), 5)
             || sha256(substr(bit_send(k.bits # repeat('00110110', 64)::bit(512)), 5) || message))
    FROM (SELECT ('x' || rpad(encode(secret, 'hex'), 128, '0'))::bit(512) AS bits) AS k;
END;

CREATE OR REPLACE FUNCTION walpost.rotate_emit_key(grace interval DEFAULT '1 day') RETURNS integer
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

CREATE OR REPLACE FUNCTION walpost_internal.may_emit(organization_id uuid) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(walpost_internal.organization_of_session() = may_emit.organization_id::text, false)
      OR walpost_internal.session_works_for_all();
END;

-- The one before expires_at, in the same transaction, so that no caller finds none.
DROP FUNCTION IF EXISTS walpost.emit(uuid, text, jsonb, text, text, text, text, jsonb, integer);

CREATE OR REPLACE FUNCTION walpost.emit(
  organization_id uuid,
  event_type      text,
  payload         jsonb,
  topic           text    DEFAULT 'default',
  entity_type     text    DEFAULT NULL,
  entity_id       text    DEFAULT NULL,
  target          text    DEFAULT NULL,
  headers         jsonb   DEFAULT '{}',
  event_version   integer DEFAULT 1,
  expires_at      timestamptz DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  chosen_topic   CONSTANT text    := coalesce(topic, 'default');
  chosen_headers CONSTANT jsonb   := walpost_internal.with_trace(coalesce(headers, '{}'));
  chosen_version CONSTANT integer := coalesce(event_version, 1);
  new_id         CONSTANT uuid    := walpost.uuid_v7();
  bytes_at_most  integer := 512; -- what every topic accepts
  fields         text[];
  key            walpost.emit_keys;
  signed         bytea;
BEGIN
  IF octet_length(payload::text) > bytes_at_most THEN
    bytes_at_most := walpost_internal.max_payload_bytes(chosen_topic);
  END IF;
  IF walpost_internal.is_valid_event(organization_id, event_type, payload, chosen_topic, entity_type, entity_id, target,
                      chosen_headers, NULL, chosen_version, bytes_at_most) IS NOT TRUE THEN
    PERFORM walpost_internal.raise_invalid_event('walpost.emit', organization_id, event_type, payload, chosen_topic, entity_type, entity_id,
                                 target, chosen_headers, NULL, chosen_version, bytes_at_most);
  END IF;
  IF expires_at NOT BETWEEN timestamptz '0001-01-01 00:00:00+00' AND timestamptz '9999-12-31 23:59:59+00' THEN
    PERFORM walpost_internal.refuse_expiry('walpost.emit', expires_at);
  END IF;
  IF jsonb_typeof(payload) = 'string' THEN
    PERFORM walpost_internal.warn_of_json_text('walpost.emit', payload);
  END IF;
  IF NOT walpost_internal.may_emit(organization_id) THEN
    RAISE EXCEPTION 'walpost.emit: the session does not work for this organization'
      USING ERRCODE = 'insufficient_privilege', HINT = 'Set app.current_org_id in this transaction.';
  END IF;
  IF current_setting('walpost.event_types_off', true) IS DISTINCT FROM (date_part('epoch', statement_timestamp()) / 10)::bigint::text THEN
    PERFORM walpost_internal.check_event_type('walpost.emit', event_type, chosen_version, chosen_topic);
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
  IF expires_at IS NOT NULL THEN -- a relay from before expires_at reads the messages without it
    fields := fields || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00');
  END IF;
  signed := convert_to(
    format(' 1 %s %s ', key.id, pg_current_xact_id())
    || (SELECT string_agg(coalesce(octet_length(convert_to(f.it, 'UTF8'))::text, '-'), ' ' ORDER BY f.n)
          FROM unnest(fields) WITH ORDINALITY AS f (it, n))
    || E'\n' || array_to_string(fields, ''), 'UTF8');
  -- As bytes: text would arrive in the encoding of this database.
  PERFORM pg_logical_emit_message(true, 'walpost', convert_to(encode(walpost_internal.hmac_sha256(signed, key.secret), 'hex'), 'UTF8') || signed);
  RETURN new_id;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.hmac_sha256(bytea, bytea) IS 'HMAC-SHA256 of a message; the secret has at most 64 bytes.';
COMMENT ON FUNCTION walpost.rotate_emit_key(interval) IS
  'Makes the key that signs what walpost.emit writes from now on, and returns its number. The keys before it hold for transactions that commit within the grace.';
COMMENT ON FUNCTION walpost_internal.may_emit(uuid) IS 'Whether the session may emit events of this organization.';
COMMENT ON FUNCTION walpost.emit(uuid, text, jsonb, text, text, text, text, jsonb, integer, timestamptz) IS
  'Sends one event with the transaction of the caller and returns its id, like walpost.publish but without a row: nothing can heal or replay it.';
