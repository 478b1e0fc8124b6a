-- The comfortable way into the outbox: defaults, limits, clear errors, idempotency.
--
-- It runs with the caller's own rights, so that grants and row-level security by organization hold for it as for an
-- INSERT. Its search_path is fixed all the same: every name below means what it meant when this file was applied.

CREATE FUNCTION walpost.publish(
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
  chosen_headers CONSTANT jsonb   := coalesce(headers, '{}');
  chosen_version CONSTANT integer := coalesce(event_version, 1);
  new_id         CONSTANT uuid    := walpost.uuid_v7();
  known_id       uuid;
BEGIN
  PERFORM walpost.check_event(organization_id, event_type, payload, chosen_topic, chosen_headers, chosen_version);

  IF idempotency_key IS NOT NULL THEN
    IF char_length(idempotency_key) NOT BETWEEN 1 AND 512 THEN
      RAISE EXCEPTION 'walpost.publish: idempotency_key must have 1 to 512 characters, not %', char_length(idempotency_key)
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Hash what is longer, and leave the key out where there is none.';
    END IF;
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

CREATE FUNCTION walpost.check_event(
  organization_id uuid,
  event_type      text,
  payload         jsonb,
  topic           text,
  headers         jsonb,
  event_version   integer
) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  bytes        integer;
  bytes_at_most integer;
BEGIN
  IF organization_id IS NULL OR event_type IS NULL OR payload IS NULL THEN
    RAISE EXCEPTION 'walpost.publish: % must not be null',
        CASE WHEN organization_id IS NULL THEN 'organization_id' WHEN event_type IS NULL THEN 'event_type' ELSE 'payload' END
      USING ERRCODE = 'null_value_not_allowed', HINT = 'An event without content has the payload ''null''::jsonb or ''{}''.';
  END IF;
  IF char_length(event_type) NOT BETWEEN 1 AND 255 THEN
    RAISE EXCEPTION 'walpost.publish: event_type must have 1 to 255 characters, not %', char_length(event_type)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Name what happened, such as job.completed.';
  END IF;
  IF char_length(topic) NOT BETWEEN 1 AND 255 THEN
    RAISE EXCEPTION 'walpost.publish: topic must have 1 to 255 characters, not %', char_length(topic)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave the topic out to publish to "default".';
  END IF;
  IF jsonb_typeof(headers) <> 'object' THEN
    RAISE EXCEPTION 'walpost.publish: headers must be a JSON object, not %', jsonb_typeof(headers)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass {"name": "value"}.';
  END IF;
  IF octet_length(headers::text) > 16384 THEN
    RAISE EXCEPTION 'walpost.publish: headers have % bytes, the limit is 16384', octet_length(headers::text)
      USING ERRCODE = 'program_limit_exceeded', HINT = 'What is that long belongs into the payload.';
  END IF;
  IF event_version NOT BETWEEN 1 AND 32767 THEN
    RAISE EXCEPTION 'walpost.publish: event_version must be 1 to 32767, not %', event_version
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Count the versions of the payload''s schema from 1.';
  END IF;
  bytes := octet_length(payload::text);
  bytes_at_most := walpost.max_payload_bytes(topic);
  IF bytes > bytes_at_most THEN
    RAISE EXCEPTION 'walpost.publish: the payload has % bytes, the limit of topic "%" is %', bytes, topic, bytes_at_most
      USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Store the document and publish a reference to it, or raise max_payload_bytes of the topic in walpost.settings.';
  END IF;
END;
$function$;

COMMENT ON FUNCTION walpost.publish(uuid, text, jsonb, text, text, text, text, jsonb, text, integer) IS
  'Writes one event in the transaction of the caller and returns its id. The same idempotency_key in the same organization returns the id of the first event and writes nothing.';
COMMENT ON FUNCTION walpost.check_event(uuid, text, jsonb, text, jsonb, integer) IS
  'Raises an error with a hint when an event is not acceptable.';
