-- publish: bounds of every argument with a sentence of their own, and the trace of the session.
--
-- An event that is fine passes one expression; what is wrong with another is worked out only then.

-- No limit is smaller than 512 bytes, so that small events need not look it up.
UPDATE walpost.settings SET value = '512' WHERE name = 'max_payload_bytes' AND value::numeric < 512;
ALTER TABLE walpost.settings DROP CONSTRAINT settings_max_payload_bytes;
ALTER TABLE walpost.settings ADD CONSTRAINT settings_max_payload_bytes CHECK (
  name <> 'max_payload_bytes'
  OR CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric BETWEEN 512 AND 1048576 ELSE false END
) NOT VALID;
COMMENT ON COLUMN walpost.settings.name IS 'max_payload_bytes: what walpost.publish accepts, 512 to 1048576.';

CREATE FUNCTION walpost.is_event(
  organization_id uuid, event_type text, payload jsonb, topic text, entity_type text, entity_id text,
  target text, headers jsonb, idempotency_key text, event_version integer, max_payload_bytes integer
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN organization_id IS NOT NULL
   AND char_length(event_type) BETWEEN 1 AND 255
   AND octet_length(payload::text) <= max_payload_bytes
   AND char_length(topic) BETWEEN 1 AND 255
   AND event_version BETWEEN 1 AND 32767
   AND (headers = '{}' OR jsonb_typeof(headers) = 'object' AND octet_length(headers::text) <= 16384)
   AND (entity_type IS NULL OR char_length(entity_type) <= 255)
   AND (entity_id IS NULL OR char_length(entity_id) <= 1024)
   AND (target IS NULL OR char_length(target) <= 255)
   AND (idempotency_key IS NULL OR char_length(idempotency_key) BETWEEN 1 AND 512);

CREATE FUNCTION walpost.refuse_event(
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
      USING ERRCODE = 'null_value_not_allowed', HINT = 'An event without content has the payload ''null''::jsonb or ''{}''.';
  END IF;
  IF char_length(event_type) NOT BETWEEN 1 AND 255 THEN
    RAISE EXCEPTION '%: event_type must have 1 to 255 characters, not %', caller, char_length(event_type)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Name what happened, such as job.completed.';
  END IF;
  IF char_length(topic) NOT BETWEEN 1 AND 255 THEN
    RAISE EXCEPTION '%: topic must have 1 to 255 characters, not %', caller, char_length(topic)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave the topic out to publish to "default".';
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
    RAISE EXCEPTION '%: event_version must be 1 to 32767, not %', caller, event_version
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Count the versions of the payload''s schema from 1.';
  END IF;
  bad := CASE WHEN char_length(entity_type) > 255 THEN 'entity_type must have at most 255 characters, not ' || char_length(entity_type)
              WHEN char_length(entity_id) > 1024 THEN 'entity_id must have at most 1024 characters, not ' || char_length(entity_id)
              WHEN char_length(target) > 255 THEN 'target must have at most 255 characters, not ' || char_length(target) END;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION '%: %', caller, bad
      USING ERRCODE = 'invalid_parameter_value', HINT = 'What is that long belongs into the payload.';
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

CREATE FUNCTION walpost.with_trace(headers jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
-- What is no traceparent, by the rules of the W3C, is passed over as if it were not there.
RETURN CASE
  WHEN coalesce(current_setting('walpost.traceparent', true), '') = '' THEN headers
  WHEN jsonb_typeof(headers) = 'object' AND NOT headers ? 'traceparent'
   AND current_setting('walpost.traceparent', true) ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'
  THEN headers || jsonb_build_object('traceparent', current_setting('walpost.traceparent', true))
  ELSE headers
END;

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
  event_version   integer DEFAULT 1
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  chosen_topic   CONSTANT text    := coalesce(topic, 'default');
  chosen_headers CONSTANT jsonb   := walpost.with_trace(coalesce(headers, '{}'));
  chosen_version CONSTANT integer := coalesce(event_version, 1);
  new_id         CONSTANT uuid    := walpost.uuid_v7();
  known_id       uuid;
  bytes_at_most  integer := 512; -- what every topic accepts
BEGIN
  IF octet_length(payload::text) > 512 THEN
    bytes_at_most := walpost.max_payload_bytes(chosen_topic);
  END IF;
  IF walpost.is_event(organization_id, event_type, payload, chosen_topic, entity_type, entity_id, target,
                      chosen_headers, idempotency_key, chosen_version, bytes_at_most) IS NOT TRUE THEN
    PERFORM walpost.refuse_event('walpost.publish', organization_id, event_type, payload, chosen_topic, entity_type, entity_id,
                                 target, chosen_headers, idempotency_key, chosen_version, bytes_at_most);
  END IF;

  IF idempotency_key IS NOT NULL THEN
    LOOP
      -- Waits for a transaction that is inserting the same key, and then sees how it ended.
      INSERT INTO walpost.idempotency_keys (organization_id, idempotency_key, event_id)
      VALUES (publish.organization_id, publish.idempotency_key, new_id)
      ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING;
      EXIT WHEN FOUND;

      SELECT k.event_id INTO known_id
        FROM walpost.idempotency_keys AS k
       WHERE k.organization_id = publish.organization_id AND k.idempotency_key = publish.idempotency_key;
      IF FOUND THEN
        RETURN known_id;
      END IF;
      -- The key was removed between the two statements: it is free now.
    END LOOP;
  END IF;

  INSERT INTO walpost.outbox (
    event_id, organization_id, event_type, event_version, topic,
    entity_type, entity_id, target, idempotency_key, payload, headers
  ) VALUES (
    new_id, publish.organization_id, publish.event_type, chosen_version, chosen_topic,
    publish.entity_type, publish.entity_id, publish.target, publish.idempotency_key, publish.payload, chosen_headers
  );
  RETURN new_id;
END;
$function$;

COMMENT ON FUNCTION walpost.is_event(uuid, text, jsonb, text, text, text, text, jsonb, text, integer, integer) IS
  'Whether publish accepts an event.';
COMMENT ON FUNCTION walpost.refuse_event(text, uuid, text, jsonb, text, text, text, text, jsonb, text, integer, integer) IS
  'Raises the error, with a hint, that says why an event is not accepted.';
COMMENT ON FUNCTION walpost.with_trace(jsonb) IS
  'Headers with the traceparent of the session, if it has set walpost.traceparent and they have none.';
COMMENT ON FUNCTION walpost.check_event(uuid, text, jsonb, text, jsonb, integer) IS
  'Not called any more; here for sessions that are in the middle of the publish before it.';
