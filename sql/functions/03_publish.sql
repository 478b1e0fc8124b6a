-- publish: one row in the outbox, with defaults, limits, clear errors and idempotency.
--
-- It runs with the rights of the caller, so grants and row-level security hold as they do for an INSERT. Its search_path is fixed, so
-- every name below means the same for every caller.
--
-- A valid event passes one expression; only an invalid one is examined further, for its error.

CREATE OR REPLACE FUNCTION walpost_internal.with_trace(headers jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
-- What is no traceparent, by the rules of the W3C, is passed over as if it were not there.
RETURN CASE
  WHEN coalesce(current_setting('walpost.traceparent', true), '') = '' THEN headers
  WHEN jsonb_typeof(headers) = 'object' AND NOT headers ? 'traceparent'
   AND current_setting('walpost.traceparent', true) ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'
  THEN headers || jsonb_build_object('traceparent', current_setting('walpost.traceparent', true))
  ELSE headers
END;

CREATE OR REPLACE FUNCTION walpost_internal.is_valid_event(
  organization_id uuid, event_type text, payload jsonb, topic text, entity_type text, entity_id text,
  target text, headers jsonb, idempotency_key text, event_version integer, max_payload_bytes integer
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN organization_id IS NOT NULL
   AND char_length(event_type) BETWEEN 1 AND 255 AND NOT starts_with(event_type, 'walpost.')
   AND octet_length(payload::text) <= max_payload_bytes
   AND char_length(topic) BETWEEN 1 AND 255 AND NOT starts_with(topic, 'walpost.')
   AND event_version BETWEEN 1 AND 32767
   AND (headers = '{}' OR jsonb_typeof(headers) = 'object' AND octet_length(headers::text) <= 16384)
   AND (entity_type IS NULL OR char_length(entity_type) <= 255)
   AND (entity_id IS NULL OR char_length(entity_id) <= 1024)
   AND (target IS NULL OR char_length(target) <= 255)
   AND (idempotency_key IS NULL OR char_length(idempotency_key) BETWEEN 1 AND 512);

CREATE OR REPLACE FUNCTION walpost_internal.raise_invalid_event(
  caller text, organization_id uuid, event_type text, payload jsonb, topic text, entity_type text, entity_id text,
  target text, headers jsonb, idempotency_key text, event_version integer, max_payload_bytes integer
) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  bad text;
BEGIN
  bad := CASE WHEN organization_id IS NULL THEN 'organization_id' WHEN event_type IS NULL THEN 'event_type'
              WHEN payload IS NULL THEN 'payload' END;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION '%: % must not be null', caller, bad
      USING ERRCODE = 'null_value_not_allowed', HINT = CASE bad
        WHEN 'organization_id' THEN 'Name the tenant: organization_id => new.organization_id in a trigger, or current_setting(''app.current_org_id'')::uuid.'
        WHEN 'event_type' THEN 'Name what happened: event_type => ''job.completed''.'
        ELSE 'An event without content has the payload ''null''::jsonb or ''{}''.' END;
  END IF;
  IF char_length(event_type) NOT BETWEEN 1 AND 255 THEN
    RAISE EXCEPTION '%: event_type must have 1 to 255 characters, not %', caller, char_length(event_type)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Name what happened, such as job.completed.';
  END IF;
  IF char_length(topic) NOT BETWEEN 1 AND 255 THEN
    RAISE EXCEPTION '%: topic must have 1 to 255 characters, not %', caller, char_length(topic)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave the topic out to publish to "default".';
  END IF;
  bad := CASE WHEN starts_with(event_type, 'walpost.') THEN 'event_type' WHEN starts_with(topic, 'walpost.') THEN 'topic' END;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION '%: % must not begin with "walpost."', caller, bad
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Such names are reserved for events of walpost itself.';
  END IF;
  IF jsonb_typeof(headers) <> 'object' THEN
    RAISE EXCEPTION '%: headers must be a JSON object, not %', caller, jsonb_typeof(headers)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass {"name": "value"}.';
  END IF;
  IF octet_length(headers::text) > 16384 THEN
    RAISE EXCEPTION '%: headers have % bytes, the limit is 16384', caller, octet_length(headers::text)
      USING ERRCODE = 'program_limit_exceeded', HINT = 'What is that long belongs into the payload.';
  END IF;
  IF event_version NOT BETWEEN 1 AND 32767 THEN
    RAISE EXCEPTION '%: event_version must be a whole number from 1 to 32767, not %', caller, event_version
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Count the versions of the payload''s schema from 1.';
  END IF;
  bad := CASE WHEN char_length(entity_type) > 255 THEN 'entity_type must have at most 255 characters, not ' || char_length(entity_type)
              WHEN char_length(entity_id) > 1024 THEN 'entity_id must have at most 1024 characters, not ' || char_length(entity_id)
              WHEN char_length(target) > 255 THEN 'target must have at most 255 characters, not ' || char_length(target) END;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION '%: %', caller, bad
      USING ERRCODE = 'invalid_parameter_value',
            HINT = CASE split_part(bad, ' ', 1)
              WHEN 'entity_type' THEN 'entity_type is the kind of a row, such as job.'
              WHEN 'entity_id' THEN 'entity_id is the id of one row, as text: entity_id => new.id::text.'
              ELSE 'target is a name that routes can ask for, such as slack.' END || ' What is longer belongs into the payload.';
  END IF;
  IF char_length(idempotency_key) NOT BETWEEN 1 AND 512 THEN
    RAISE EXCEPTION '%: idempotency_key must have 1 to 512 characters, not %', caller, char_length(idempotency_key)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Hash what is longer, and leave the key out where there is none.';
  END IF;
  IF octet_length(payload::text) > max_payload_bytes THEN
    RAISE EXCEPTION '%: the payload has % bytes, the limit of topic "%" is %',
        caller, octet_length(payload::text), topic, max_payload_bytes
      USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Store the document and publish a reference to it, or raise max_payload_bytes of the topic in walpost.settings.';
  END IF;
  RAISE EXCEPTION '%: the event is not acceptable', caller USING ERRCODE = 'invalid_parameter_value';
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.refuse_expiry(caller text, expires_at timestamptz) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RAISE EXCEPTION '%: expires_at must be a time in the years 1 to 9999, not %', caller, expires_at
    USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out where the event never expires.';
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.refuse_organization(caller text, organization_id uuid) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  -- Roles that work for all organizations have a policy of their own, and anybody may have added one: then that one decides, whatever the
  -- session says. Only without one the organization of the session has to be a uuid.
  IF EXISTS (SELECT FROM pg_policy AS p
              WHERE p.polrelid = 'walpost.outbox'::regclass AND p.polname <> 'organization' AND p.polcmd IN ('*', 'a')
                AND EXISTS (SELECT FROM unnest(p.polroles) AS r WHERE r = 0 OR pg_has_role(r, 'USAGE'))) THEN
    RETURN;
  END IF;
  IF walpost_internal.current_organization_id() = organization_id THEN
    RETURN;
  END IF;
  RAISE EXCEPTION '%: the session works for %, not for the organization %', caller,
      coalesce('the organization ' || walpost_internal.current_organization(), 'no organization'), organization_id
    USING ERRCODE = 'insufficient_privilege',
          HINT = format('Set app.current_org_id in this transaction: SET LOCAL app.current_org_id = %L. A token that names an organization goes before it.', organization_id);
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.event_hash(event_type text, payload jsonb) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(event_type || E'\n' || payload::text, 'UTF8'));

CREATE OR REPLACE FUNCTION walpost_internal.tell_key_conflict(caller text, first_id uuid, on_conflict text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM nextval('walpost.idempotency_conflicts');
  IF on_conflict = 'error' THEN
    RAISE EXCEPTION '%: the idempotency_key stands for the event %, which has another type or payload', caller, first_id
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Make a key for each event, such as ''job-42-done''; repeat one only with the same type and payload.';
  END IF;
  RAISE WARNING '%: nothing was written, because the idempotency_key stands for the event %, which has another type or payload', caller, first_id
    USING HINT = 'Make a key for each event, such as ''job-42-done''. With on_conflict => ''error'' this is an error.';
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.warn_of_json_text(caller text, payload jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF coalesce(current_setting('walpost.warned_of_json_text', true), '') <> '' OR payload #>> '{}' !~ '^\s*[[{]' THEN
    RETURN;
  END IF;
  BEGIN
    PERFORM (payload #>> '{}')::jsonb;
  EXCEPTION WHEN OTHERS THEN
    RETURN; -- a text like any other
  END;
  PERFORM set_config('walpost.warned_of_json_text', 'yes', false);
  RAISE WARNING '%: the payload is a string that holds JSON, so receivers get a text and no object', caller
    USING HINT = 'It was encoded twice: pass the object itself, as JSON.stringify(payload) for one jsonb parameter. This is said once a session.';
END;
$function$;

-- Most installations register nothing, and a look at the settings is a tenth of what publish costs. So a session notes in
-- walpost.event_types_off that nothing is to be checked, and looks again when ten seconds of the clock have passed.
CREATE OR REPLACE FUNCTION walpost_internal.check_event_type(caller text, event_type text, event_version integer, topic text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  mode text;
  what CONSTANT text := format('event_type %L with event_version %s', left(event_type, 255), event_version);
  told text;
  known text;
BEGIN
  IF NOT EXISTS (SELECT FROM walpost.settings AS s WHERE s.name = 'check_event_types' AND s.value <> '"off"') THEN
    PERFORM set_config('walpost.event_types_off', (date_part('epoch', statement_timestamp()) / 10)::bigint::text, false);
    RETURN;
  END IF;
  SELECT s.value #>> '{}' INTO mode FROM walpost.settings AS s
   WHERE s.name = 'check_event_types' AND s.topic IN (check_event_type.topic, '*') ORDER BY s.topic = '*' LIMIT 1;
  IF coalesce(mode, 'off') = 'off' OR EXISTS (SELECT FROM walpost.event_types AS t
       WHERE t.event_type = check_event_type.event_type AND t.event_version = check_event_type.event_version) THEN
    RETURN;
  END IF;

  SELECT string_agg(t.event_version::text, ', ' ORDER BY t.event_version) INTO known
    FROM walpost.event_types AS t WHERE t.event_type = check_event_type.event_type;
  known := CASE WHEN known IS NULL THEN 'No version of it is registered.' ELSE format('Registered versions: %s.', known) END
           || ' An operator adds one: INSERT INTO walpost.event_types (event_type, event_version, schema) VALUES (...).';
  IF mode = 'strict' THEN
    RAISE EXCEPTION '%: % is not registered', caller, what USING ERRCODE = 'undefined_object', HINT = known;
  END IF;
  told := coalesce(current_setting('walpost.warned_of_event_types', true), '');
  IF strpos(told, what) = 0 AND length(told) < 10000 THEN
    PERFORM set_config('walpost.warned_of_event_types', told || what || E'\n', false);
    RAISE WARNING '%: % is not registered', caller, what USING HINT = known || ' This is said once a session.';
  END IF;
END;
$function$;

-- The one before expires_at, in the same transaction, so that no caller finds none.
DROP FUNCTION IF EXISTS walpost.publish(uuid, text, jsonb, text, text, text, text, jsonb, text, integer, text);

CREATE OR REPLACE FUNCTION walpost.publish(
  organization_id uuid,
  event_type      text,
  payload         jsonb,
  topic           text    DEFAULT 'default',
  entity_type     text    DEFAULT NULL,
  entity_id       text    DEFAULT NULL,
  target          text    DEFAULT NULL,
  headers         jsonb   DEFAULT '{}',
  idempotency_key text    DEFAULT NULL,
  event_version   integer DEFAULT 1,
  on_conflict     text    DEFAULT 'warn',
  expires_at      timestamptz DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  chosen_topic   CONSTANT text    := coalesce(topic, 'default');
  chosen_headers CONSTANT jsonb   := walpost_internal.with_trace(coalesce(headers, '{}'));
  chosen_version CONSTANT integer := coalesce(event_version, 1);
  new_id         CONSTANT uuid    := walpost.uuid_v7();
  hash           bytea;
  known          record;
  bytes_at_most  integer := 512; -- what every topic accepts
BEGIN
  IF octet_length(payload::text) > bytes_at_most THEN
    bytes_at_most := walpost_internal.max_payload_bytes(chosen_topic);
  END IF;
  IF walpost_internal.is_valid_event(organization_id, event_type, payload, chosen_topic, entity_type, entity_id, target,
                      chosen_headers, idempotency_key, chosen_version, bytes_at_most) IS NOT TRUE THEN
    PERFORM walpost_internal.raise_invalid_event('walpost.publish', organization_id, event_type, payload, chosen_topic, entity_type, entity_id,
                                 target, chosen_headers, idempotency_key, chosen_version, bytes_at_most);
  END IF;

  IF expires_at NOT BETWEEN timestamptz '0001-01-01 00:00:00+00' AND timestamptz '9999-12-31 23:59:59+00' THEN
    PERFORM walpost_internal.refuse_expiry('walpost.publish', expires_at);
  END IF;
  IF jsonb_typeof(payload) = 'string' THEN
    PERFORM walpost_internal.warn_of_json_text('walpost.publish', payload);
  END IF;
  IF row_security_active('walpost.outbox') AND walpost_internal.current_organization() IS DISTINCT FROM organization_id::text THEN
    PERFORM walpost_internal.refuse_organization('walpost.publish', organization_id);
  END IF;
  IF current_setting('walpost.event_types_off', true) IS DISTINCT FROM (date_part('epoch', statement_timestamp()) / 10)::bigint::text THEN
    PERFORM walpost_internal.check_event_type('walpost.publish', event_type, chosen_version, chosen_topic);
  END IF;

  IF idempotency_key IS NOT NULL THEN
    IF on_conflict NOT IN ('warn', 'error') THEN
      RAISE EXCEPTION 'walpost.publish: on_conflict must be warn or error, not %', on_conflict
        USING ERRCODE = 'invalid_parameter_value', HINT = 'It says what happens when the key stands for another event.';
    END IF;
    hash := walpost_internal.event_hash(event_type, payload);
    LOOP
      -- Waits for a transaction that is inserting the same key, and then sees how it ended.
      INSERT INTO walpost.idempotency_keys (organization_id, idempotency_key, event_id, hash)
      VALUES (publish.organization_id, publish.idempotency_key, new_id, hash)
      ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING;
      EXIT WHEN FOUND;

      SELECT k.event_id, k.hash INTO known
        FROM walpost.idempotency_keys AS k
       WHERE k.organization_id = publish.organization_id AND k.idempotency_key = publish.idempotency_key;
      IF FOUND THEN
        IF known.hash <> hash THEN
          PERFORM walpost_internal.tell_key_conflict('walpost.publish', known.event_id, on_conflict);
        END IF;
        RETURN known.event_id;
      END IF;
      -- The key was removed between the two statements: it is free now.
    END LOOP;
  END IF;

  INSERT INTO walpost.outbox (
    event_id, organization_id, event_type, event_version, topic,
    entity_type, entity_id, target, idempotency_key, payload, headers, expires_at
  ) VALUES (
    new_id, publish.organization_id, publish.event_type, chosen_version, chosen_topic,
    publish.entity_type, publish.entity_id, publish.target, publish.idempotency_key, publish.payload, chosen_headers, publish.expires_at
  );
  RETURN new_id;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.with_trace(jsonb) IS
  'Headers with the traceparent of the session, if it has set walpost.traceparent and they have none.';
COMMENT ON FUNCTION walpost_internal.is_valid_event(uuid, text, jsonb, text, text, text, text, jsonb, text, integer, integer) IS
  'Whether publish accepts an event.';
COMMENT ON FUNCTION walpost_internal.raise_invalid_event(text, uuid, text, jsonb, text, text, text, text, jsonb, text, integer, integer) IS
  'Raises the error, with a hint, that says why an event is not accepted.';
COMMENT ON FUNCTION walpost_internal.refuse_expiry(text, timestamptz) IS 'Raises an error of an expires_at that no event can have.';
COMMENT ON FUNCTION walpost_internal.refuse_organization(text, uuid) IS
  'Raises an error that says what to set when the session does not work for the organization of an event.';
COMMENT ON FUNCTION walpost_internal.event_hash(text, jsonb) IS 'What tells whether a repeated idempotency key is of the same event.';
COMMENT ON FUNCTION walpost_internal.tell_key_conflict(text, uuid, text) IS
  'Counts a known idempotency key that came with another event, and warns of it, or raises an error.';
COMMENT ON FUNCTION walpost_internal.warn_of_json_text(text, jsonb) IS
  'Warns once a session of a payload that was encoded twice.';
COMMENT ON FUNCTION walpost_internal.check_event_type(text, text, integer, text) IS
  'Raises an error, or warns once a session, of an event type and version that walpost.event_types does not have, as check_event_types in walpost.settings says.';
COMMENT ON FUNCTION walpost.publish(uuid, text, jsonb, text, text, text, text, jsonb, text, integer, text, timestamptz) IS
  'Writes one event in the transaction of the caller and returns its id. The same idempotency_key in the same organization returns the id of the first event and writes nothing. entity_id is text: entity_id => new.id::text. From expires_at on the event is not sent any more.';
