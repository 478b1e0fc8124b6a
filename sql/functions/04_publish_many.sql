-- publish_many: many events in one call and one INSERT.

-- The one before expires_at: other columns need another function.
DROP FUNCTION IF EXISTS walpost_internal.parse_events(jsonb);

CREATE FUNCTION walpost_internal.parse_events(
  events jsonb,
  OUT n bigint, OUT organization_id uuid, OUT event_type text, OUT payload jsonb, OUT topic text, OUT entity_type text,
  OUT entity_id text, OUT target text, OUT headers jsonb, OUT idempotency_key text, OUT event_version integer,
  OUT expires_at timestamptz
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT e.n, (e.it ->> 'organization_id')::uuid, e.it ->> 'event_type', e.it -> 'payload',
         coalesce(e.it ->> 'topic', 'default'), e.it ->> 'entity_type', e.it ->> 'entity_id', e.it ->> 'target',
         walpost_internal.with_trace(coalesce(nullif(e.it -> 'headers', 'null'), '{}')), e.it ->> 'idempotency_key',
         coalesce((e.it ->> 'event_version')::numeric::integer, 1), (e.it ->> 'expires_at')::timestamptz
    FROM jsonb_array_elements(parse_events.events) WITH ORDINALITY AS e (it, n);
END;

CREATE OR REPLACE FUNCTION walpost_internal.is_time(value text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM value::timestamptz;
  RETURN true;
EXCEPTION WHEN data_exception THEN
  RETURN false;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.raise_invalid_events(events jsonb) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  bad record;
BEGIN
  SELECT e.n, jsonb_typeof(e.it) AS type, k.key INTO bad
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (it, n)
         LEFT JOIN LATERAL jsonb_object_keys(CASE WHEN jsonb_typeof(e.it) = 'object' THEN e.it ELSE '{}' END) AS k (key)
           ON k.key NOT IN ('organization_id', 'event_type', 'payload', 'topic', 'entity_type', 'entity_id', 'target',
                            'headers', 'idempotency_key', 'event_version', 'expires_at')
   WHERE jsonb_typeof(e.it) <> 'object' OR k.key IS NOT NULL
   ORDER BY e.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'walpost.publish_many: event % %', bad.n, coalesce('has the unknown name "' || bad.key || '"', 'is no object but ' || bad.type)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'The names are those of the arguments of walpost.publish.';
  END IF;

  -- What parse_events could not convert. 2.0 is a whole number.
  SELECT e.n, w.code, w.hint, format(w.what, left((e.it -> w.name)::text, 100)) AS what INTO bad
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (it, n)
         CROSS JOIN LATERAL (VALUES
           ('organization_id', '22P02', 'organization_id is no uuid but %s', 'It is the id of the tenant, as in app.current_org_id.',
            e.it ->> 'organization_id' ~* '^\{?([0-9a-f]{4}-?){7}[0-9a-f]{4}\}?$'),
           ('event_version', '22P02', 'event_version is no number but %s', 'Count the versions of the payload''s schema from 1.',
            e.it ->> 'event_version' ~ '^-?[0-9]+(\.[0-9]+)?$'),
           ('event_version', '22023', 'event_version must be a whole number from 1 to 32767, not %s', 'Count the versions of the payload''s schema from 1.',
            CASE WHEN e.it ->> 'event_version' ~ '^0*[1-9][0-9]{0,4}(\.0+)?$' THEN (e.it ->> 'event_version')::numeric <= 32767
                 ELSE e.it ->> 'event_version' IS NULL END)
         ) AS w (name, code, what, hint, fits)
   WHERE NOT w.fits
   ORDER BY e.n, w.code DESC LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'walpost.publish_many: event %: %', bad.n, bad.what USING ERRCODE = bad.code, HINT = bad.hint;
  END IF;

  SELECT e.n, e.it ->> 'expires_at' AS value INTO bad
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (it, n)
   WHERE walpost_internal.is_time(e.it ->> 'expires_at') IS FALSE ORDER BY e.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'walpost.publish_many: event %: expires_at is no time but %', bad.n, left(quote_literal(bad.value), 100)
      USING ERRCODE = 'invalid_datetime_format', HINT = 'Such as 2026-11-20T14:00:00Z.';
  END IF;
  PERFORM walpost_internal.refuse_expiry('walpost.publish_many: event ' || e.n, e.expires_at)
    FROM walpost_internal.parse_events(events) AS e
   WHERE e.expires_at NOT BETWEEN timestamptz '0001-01-01 00:00:00+00' AND timestamptz '9999-12-31 23:59:59+00' ORDER BY e.n;

  SELECT e.*, l.bytes INTO bad
    FROM walpost_internal.parse_events(events) AS e
         JOIN LATERAL (SELECT walpost_internal.max_payload_bytes(e.topic) AS bytes) AS l ON true
   WHERE walpost_internal.is_valid_event(e.organization_id, e.event_type, e.payload, e.topic, e.entity_type, e.entity_id, e.target,
                          e.headers, e.idempotency_key, e.event_version, l.bytes) IS NOT TRUE
   ORDER BY e.n LIMIT 1;
  IF FOUND THEN
    PERFORM walpost_internal.raise_invalid_event(
      'walpost.publish_many: event ' || bad.n, bad.organization_id, bad.event_type, bad.payload, bad.topic, bad.entity_type,
      bad.entity_id, bad.target, bad.headers, bad.idempotency_key, bad.event_version, bad.bytes);
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.publish_many(events jsonb, on_conflict text DEFAULT 'warn') RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  given     record;
  new_ids   uuid[];
  final_ids uuid[];
BEGIN
  IF events IS NULL OR jsonb_typeof(events) <> 'array' THEN
    RAISE EXCEPTION 'walpost.publish_many: events must be a JSON array, not %', coalesce(jsonb_typeof(events), 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass [{"organization_id": …, "event_type": …, "payload": …}, …].';
  END IF;
  IF on_conflict NOT IN ('warn', 'error') THEN
    RAISE EXCEPTION 'walpost.publish_many: on_conflict must be warn or error, not %', on_conflict
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It says what happens when a key stands for another event.';
  END IF;
  PERFORM walpost_internal.raise_invalid_events(events);
  PERFORM walpost_internal.warn_of_json_text('walpost.publish_many: event ' || e.n, e.payload)
    FROM walpost_internal.parse_events(events) AS e WHERE jsonb_typeof(e.payload) = 'string';
  IF row_security_active('walpost.outbox') THEN
    PERFORM walpost_internal.refuse_organization('walpost.publish_many: event ' || min(e.n), e.organization_id)
      FROM walpost_internal.parse_events(events) AS e GROUP BY e.organization_id ORDER BY min(e.n);
  END IF;
  IF current_setting('walpost.event_types_off', true) IS DISTINCT FROM (date_part('epoch', statement_timestamp()) / 10)::bigint::text THEN
    PERFORM walpost_internal.check_event_type('walpost.publish_many: event ' || min(e.n), e.event_type, e.event_version, e.topic)
      FROM walpost_internal.parse_events(events) AS e GROUP BY e.event_type, e.event_version, e.topic ORDER BY min(e.n);
  END IF;

  SELECT array_agg(walpost.uuid_v7()) INTO new_ids FROM generate_series(1, jsonb_array_length(events));
  final_ids := new_ids;
  IF jsonb_path_exists(events, '$[*].idempotency_key ? (@ != null)') THEN
    LOOP
      -- In the order of the keys, so that two calls with the same keys wait for each other and never both.
      INSERT INTO walpost.idempotency_keys (organization_id, idempotency_key, event_id, hash)
      SELECT first.organization_id, first.idempotency_key, first.id, first.hash
        FROM (SELECT DISTINCT ON (e.organization_id, e.idempotency_key) e.organization_id, e.idempotency_key, new_ids[e.n] AS id,
                     walpost_internal.event_hash(e.event_type, e.payload) AS hash
                FROM walpost_internal.parse_events(events) AS e
               WHERE e.idempotency_key IS NOT NULL
               ORDER BY e.organization_id, e.idempotency_key, e.n) AS first
      ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING;

      SELECT array_agg(CASE WHEN e.idempotency_key IS NULL THEN new_ids[e.n] ELSE k.event_id END ORDER BY e.n) INTO final_ids
        FROM walpost_internal.parse_events(events) AS e
             LEFT JOIN walpost.idempotency_keys AS k USING (organization_id, idempotency_key);
      EXIT WHEN array_position(final_ids, NULL) IS NULL;
      -- A key was removed between the two statements: it is free now.
    END LOOP;
    FOR given IN
      SELECT e.n, k.event_id FROM walpost_internal.parse_events(events) AS e JOIN walpost.idempotency_keys AS k USING (organization_id, idempotency_key)
       WHERE k.hash <> walpost_internal.event_hash(e.event_type, e.payload) ORDER BY e.n
    LOOP
      PERFORM walpost_internal.tell_key_conflict('walpost.publish_many: event ' || given.n, given.event_id, on_conflict);
    END LOOP;
  END IF;

  INSERT INTO walpost.outbox (
    event_id, organization_id, event_type, event_version, topic,
    entity_type, entity_id, target, idempotency_key, payload, headers, expires_at
  )
  SELECT new_ids[e.n], e.organization_id, e.event_type, e.event_version, e.topic,
         e.entity_type, e.entity_id, e.target, e.idempotency_key, e.payload, e.headers, e.expires_at
    FROM walpost_internal.parse_events(events) AS e
   WHERE new_ids[e.n] = final_ids[e.n]
   ORDER BY e.n;
  RETURN QUERY SELECT unnest(final_ids);
END;
$function$;

COMMENT ON FUNCTION walpost_internal.parse_events(jsonb) IS 'The events of publish_many as rows.';
COMMENT ON FUNCTION walpost_internal.is_time(text) IS 'Whether Postgres can read a text as a time.';
COMMENT ON FUNCTION walpost_internal.raise_invalid_events(jsonb) IS
  'Raises an error that names the first event of publish_many that is not acceptable.';
COMMENT ON FUNCTION walpost.publish_many(jsonb, text) IS
  'Writes an array of events, each an object with the argument names of walpost.publish, in their order, with one INSERT, and returns their ids in that order.';
