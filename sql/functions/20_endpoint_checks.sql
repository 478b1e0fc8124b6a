-- What walpost.add_endpoint and update_endpoint accept, and whose endpoints a session may manage.
--
-- The functions that are called run with the rights of the owner, because nobody else may write the tables of endpoints. So they ask for
-- the role and the organization of the session themselves.

CREATE OR REPLACE FUNCTION walpost_internal.manages_endpoints_of(organization_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- The rule of row-level security: the organization of the session, or a role that works for all.
AS $function$
DECLARE
  caller CONSTANT name := coalesce(nullif(current_setting('role', true), 'none')::name, session_user);
BEGIN
  RETURN coalesce(walpost_internal.organization_of_session() = organization_id::text, false)
      OR walpost_internal.session_works_for_all()
      OR EXISTS (SELECT FROM pg_roles AS r
                  WHERE r.rolname IN (walpost_internal.role_prefix() || 'walpost_relay', walpost_internal.role_prefix() || 'walpost_operator')
                    AND pg_has_role(caller, r.oid, 'USAGE'));
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.url_host(url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN lower((regexp_match(url, '^[^:]*://([^/?#]*)'))[1]);

CREATE OR REPLACE FUNCTION walpost_internal.is_endpoint_lane(lane text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  -- Lanes of other kinds may have the form of an id too. An endpoint that was removed is known by its changes.
  SELECT lane <> '' AND EXISTS (SELECT FROM walpost.endpoint_changes AS c WHERE c.endpoint_id = walpost_internal.uuid_or_null(is_endpoint_lane.lane));
END;

CREATE OR REPLACE FUNCTION walpost_internal.endpoint_types_problem(event_types text[], OUT problem text, OUT hint text)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  hint := 'Such as event_types => ''{invoice.*,user.created}''; * stands for any text.';
  IF array_ndims(event_types) IS DISTINCT FROM 1 OR cardinality(event_types) > 100 THEN
    problem := format('event_types must be a list of 1 to 100 patterns, not %s', cardinality(event_types));
  ELSIF EXISTS (SELECT FROM unnest(event_types) AS t WHERE t IS NULL OR char_length(t) NOT BETWEEN 1 AND 255) THEN
    problem := 'each pattern in event_types must have 1 to 255 characters';
  ELSIF EXISTS (SELECT FROM unnest(event_types) AS t WHERE t ~ '[[:cntrl:]]') THEN
    problem := 'a pattern in event_types has a control character';
  ELSIF EXISTS (SELECT FROM unnest(event_types) AS t WHERE starts_with(t, 'walpost.')) THEN
    problem := 'no pattern in event_types may begin with "walpost."';
    hint := 'Such events are for operators; send_test_event reaches an endpoint whatever its patterns are.';
  ELSE
    hint := NULL;
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.endpoint_headers_problem(headers jsonb, OUT problem text, OUT hint text)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  bad text;
BEGIN
  hint := 'Pass names and texts: headers => ''{"authorization": "Bearer ..."}''.';
  IF jsonb_typeof(headers) <> 'object' THEN
    problem := format('headers must be a JSON object, not %s', jsonb_typeof(headers));
    RETURN;
  END IF;
  IF octet_length(headers::text) > 8192 OR (SELECT count(*) FROM jsonb_object_keys(headers)) > 20 THEN
    problem := 'headers must be at most 20, with 8192 bytes as JSON';
    RETURN;
  END IF;
  SELECT h.key INTO bad FROM jsonb_each(headers) AS h
   WHERE h.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,100}$' ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    problem := 'a name in headers is none of HTTP';
    RETURN;
  END IF;
  SELECT h.key INTO bad FROM jsonb_each(headers) AS h
   WHERE lower(h.key) ~ ('^(webhook-.*|walpost-.*|content-.*|proxy-.*|host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|user-agent'
                         '|idempotency-key|traceparent|tracestate)$') ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    problem := format('walpost sets the header %s itself', bad);
    hint := 'Leave it out, or give it another name.';
    RETURN;
  END IF;
  SELECT h.key INTO bad FROM jsonb_each(headers) AS h
   WHERE jsonb_typeof(h.value) <> 'string' OR h.value #>> '{}' COLLATE "C" !~ '^[!-~]([ -~]*[!-~])?$' ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    problem := format('the header %s must be a text of printable ASCII, without blanks around it', bad);
    RETURN;
  END IF;
  SELECT min(h.key) INTO bad FROM jsonb_each(headers) AS h GROUP BY lower(h.key) HAVING count(*) > 1 ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    problem := format('headers have %s twice; capital and small letters are the same', bad);
    RETURN;
  END IF;
  hint := NULL;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.check_endpoint(
  caller text, url text, event_types text[], headers jsonb, max_per_second numeric, description text
) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- What is null is not looked at.
AS $function$
DECLARE
  on_loopback CONSTANT boolean := coalesce(
    (SELECT s.value = 'true' FROM walpost.settings AS s WHERE s.name = 'endpoints_on_loopback' AND s.topic = '*'), false);
  found record;
BEGIN
  SELECT 'the URL ' || p.problem AS problem, p.hint INTO found
    FROM walpost_internal.endpoint_url_problem(check_endpoint.url, on_loopback) AS p WHERE check_endpoint.url IS NOT NULL;
  IF found.problem IS NULL THEN
    SELECT p.problem, p.hint INTO found
      FROM walpost_internal.endpoint_types_problem(check_endpoint.event_types) AS p WHERE check_endpoint.event_types IS NOT NULL;
  END IF;
  IF found.problem IS NULL THEN
    SELECT p.problem, p.hint INTO found
      FROM walpost_internal.endpoint_headers_problem(check_endpoint.headers) AS p WHERE check_endpoint.headers IS NOT NULL;
  END IF;
  IF found.problem IS NULL AND max_per_second <> 0 AND max_per_second NOT BETWEEN 0.001 AND 10000 THEN
    SELECT 'max_per_second must be from 0.001 to 10000, or 0 for no limit' AS problem, 'Events a second.' AS hint INTO found;
  END IF;
  IF found.problem IS NULL AND (char_length(description) > 1000 OR description ~ '[[:cntrl:]]') THEN
    SELECT 'description must be one line of at most 1000 characters' AS problem, 'It is for people only.' AS hint INTO found;
  END IF;
  IF found.problem IS NOT NULL THEN
    RAISE EXCEPTION '%: %', caller, found.problem USING ERRCODE = 'invalid_parameter_value', HINT = found.hint;
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.lock_endpoint(caller text, endpoint_id uuid) RETURNS walpost.endpoints
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint walpost.endpoints;
BEGIN
  -- Looked at first: the row of another organization must not be locked.
  IF EXISTS (SELECT FROM walpost.endpoints AS e
              WHERE e.endpoint_id = lock_endpoint.endpoint_id AND walpost_internal.manages_endpoints_of(e.organization_id)) THEN
    SELECT * INTO endpoint FROM walpost.endpoints AS e WHERE e.endpoint_id = lock_endpoint.endpoint_id FOR UPDATE;
  END IF;
  IF endpoint.endpoint_id IS NULL THEN
    RAISE EXCEPTION '%: there is no endpoint %', caller, coalesce(endpoint_id::text, 'with the id null')
      USING ERRCODE = 'no_data_found',
            DETAIL = format('The session works for %s.', coalesce('the organization ' || walpost_internal.organization_of_session(), 'no organization')),
            HINT = 'walpost.endpoints lists those of the organization that app.current_org_id names.';
  END IF;
  RETURN endpoint;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.note_endpoint_change(endpoint walpost.endpoints, change text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  -- Where a relay runs and no publication of it holds the table, the change would never arrive.
  IF EXISTS (SELECT FROM walpost.cursor) AND NOT EXISTS (
       SELECT FROM walpost.cursor AS c LEFT JOIN pg_publication AS p ON p.pubname = c.publication
        WHERE c.publication IS NULL OR p.pubinsert AND (
              p.puballtables
              OR EXISTS (SELECT FROM pg_publication_rel AS r WHERE r.prpubid = p.oid AND r.prrelid = 'walpost.endpoint_changes'::regclass)
              OR EXISTS (SELECT FROM pg_publication_namespace AS n WHERE n.pnpubid = p.oid AND n.pnnspid = 'walpost'::regnamespace))) THEN
    RAISE EXCEPTION 'walpost: no relay would learn of a change of an endpoint'
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'No publication that a relay reads holds walpost.endpoint_changes.',
            HINT = (SELECT format('ALTER PUBLICATION %I ADD TABLE walpost.endpoint_changes;', min(c.publication)) FROM walpost.cursor AS c);
  END IF;
  INSERT INTO walpost.endpoint_changes (endpoint_id, sink, organization_id, change, url, event_types, headers, max_per_second, state)
  VALUES (endpoint.endpoint_id, endpoint.sink, endpoint.organization_id, note_endpoint_change.change, endpoint.url, endpoint.event_types,
          endpoint.headers, endpoint.max_per_second, endpoint.state);
END;
$function$;

COMMENT ON FUNCTION walpost_internal.manages_endpoints_of(uuid) IS 'Whether the session may manage the endpoints of this organization.';
COMMENT ON FUNCTION walpost_internal.url_host(text) IS 'Host and port of a URL, in lower case: what may be shown of it.';
COMMENT ON FUNCTION walpost_internal.is_endpoint_lane(text) IS 'Whether a lane is that of an endpoint.';
COMMENT ON FUNCTION walpost_internal.endpoint_types_problem(text[]) IS 'What is wrong with the patterns of an endpoint, with what to do; null when nothing is.';
COMMENT ON FUNCTION walpost_internal.endpoint_headers_problem(jsonb) IS
  'What is wrong with the headers of an endpoint, with what to do; null when nothing is. No value is in it.';
COMMENT ON FUNCTION walpost_internal.check_endpoint(text, text, text[], jsonb, numeric, text) IS
  'Raises the error, with a hint, that says what an endpoint cannot have.';
COMMENT ON FUNCTION walpost_internal.lock_endpoint(text, uuid) IS
  'The endpoint, locked until the transaction ends, so that its changes get their numbers in the order of commits. An error when it is not there, or not for this session.';
COMMENT ON FUNCTION walpost_internal.note_endpoint_change(walpost.endpoints, text) IS 'Writes the row of a change for the stream.';
