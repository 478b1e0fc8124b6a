-- Endpoints: webhooks that customers add themselves. docs/endpoints.md has examples.
--
-- Each function changes one endpoint in the transaction of the caller, and writes the row of walpost.endpoint_changes that the relay reads.
-- So a change takes effect at its commit: exactly the events that commit later meet it.

CREATE OR REPLACE FUNCTION walpost_internal.make_endpoint_secret(endpoint_id uuid) RETURNS text
LANGUAGE sql VOLATILE
-- Made inside the INSERT, so that it is no parameter of a statement that the server may log.
BEGIN ATOMIC
  INSERT INTO walpost.endpoint_secrets AS s (endpoint_id, secret)
  VALUES (make_endpoint_secret.endpoint_id, 'whsec_' || encode(substr(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                                       || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 1, 24), 'base64'))
  RETURNING s.secret;
END;

CREATE OR REPLACE FUNCTION walpost_internal.endpoints_are_copied() RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT EXISTS (
    SELECT FROM walpost.endpoint_installation AS i, pg_control_system() AS s, pg_database AS d
     WHERE d.datname = current_database() AND (i.system_identifier, i.database_oid) <> (s.system_identifier::text, d.oid));
END;

CREATE OR REPLACE FUNCTION walpost_internal.record_endpoint_installation() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  INSERT INTO walpost.endpoint_installation (system_identifier, database_oid, database_name, recorded_by)
  SELECT s.system_identifier::text, d.oid, d.datname, 'add_endpoint'
    FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()
  ON CONFLICT ON CONSTRAINT endpoint_installation_pkey DO NOTHING;
  IF walpost_internal.endpoints_are_copied() THEN
    RAISE WARNING 'walpost: nothing is sent to endpoints here, because they came with a copy of another database'
      USING HINT = 'Where they are meant to get events from this database: walpost endpoints adopt.';
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.add_endpoint(
  sink            text,
  organization_id uuid,
  url             text,
  event_types     text[]  DEFAULT '{*}',
  headers         jsonb   DEFAULT '{}',
  max_per_second  numeric DEFAULT NULL,
  description     text    DEFAULT NULL,
  OUT endpoint_id uuid,
  OUT secret      text
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint walpost.endpoints;
  bad      CONSTANT text := CASE WHEN sink IS NULL THEN 'sink' WHEN organization_id IS NULL THEN 'organization_id' WHEN url IS NULL THEN 'url' END;
  at_most  CONSTANT numeric := walpost_internal.setting('endpoints_per_organization', 50);
BEGIN
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'walpost.add_endpoint: % must not be null', bad
      USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the sink, the organization and the URL.';
  END IF;
  IF NOT walpost_internal.manages_endpoints_of(organization_id) THEN
    RAISE EXCEPTION 'walpost.add_endpoint: the session works for %, not for the organization %',
        coalesce('the organization ' || walpost_internal.organization_of_session(), 'no organization'), organization_id
      USING ERRCODE = 'insufficient_privilege',
            HINT = format('Set app.current_org_id in this transaction: SET LOCAL app.current_org_id = %L. A token that names an organization goes before it.', organization_id);
  END IF;
  IF sink !~ '^[a-z][a-z0-9_-]{0,62}$' OR sink ~ '__' THEN
    RAISE EXCEPTION 'walpost.add_endpoint: sink is no name that a sink can have'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the name of the sink with endpoints: true, as walpost.yaml has it.';
  END IF;
  PERFORM walpost_internal.check_endpoint('walpost.add_endpoint', url, coalesce(event_types, '{*}'), coalesce(headers, '{}'), max_per_second, description);

  -- Calls of one organization come one after the other from here on; each then counts what the others have committed.
  INSERT INTO walpost.endpoint_organizations (organization_id) VALUES (add_endpoint.organization_id)
  ON CONFLICT ON CONSTRAINT endpoint_organizations_pkey DO UPDATE SET organization_id = excluded.organization_id;
  IF (SELECT count(*) FROM walpost.endpoints AS e WHERE e.organization_id = add_endpoint.organization_id) >= at_most THEN
    RAISE EXCEPTION 'walpost.add_endpoint: the organization has % endpoints, which is the limit', at_most
      USING ERRCODE = 'program_limit_exceeded', HINT = 'Remove one, or raise endpoints_per_organization in walpost.settings.';
  END IF;

  INSERT INTO walpost.endpoints (sink, organization_id, url, event_types, headers, max_per_second, description)
  VALUES (add_endpoint.sink, add_endpoint.organization_id, add_endpoint.url, coalesce(add_endpoint.event_types, '{*}'),
          coalesce(add_endpoint.headers, '{}'), nullif(add_endpoint.max_per_second, 0), nullif(add_endpoint.description, ''))
  RETURNING * INTO endpoint;
  PERFORM walpost_internal.note_endpoint_change(endpoint, 'added');
  PERFORM walpost_internal.record_endpoint_installation();
  endpoint_id := endpoint.endpoint_id;
  secret := walpost_internal.make_endpoint_secret(endpoint_id);
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.update_endpoint(
  endpoint_id    uuid,
  url            text    DEFAULT NULL,
  event_types    text[]  DEFAULT NULL,
  headers        jsonb   DEFAULT NULL,
  max_per_second numeric DEFAULT NULL,
  description    text    DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  before   CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.update_endpoint', endpoint_id);
  endpoint walpost.endpoints := before;
BEGIN
  PERFORM walpost_internal.check_endpoint('walpost.update_endpoint', url, event_types, headers, max_per_second, description);
  endpoint.url := coalesce(update_endpoint.url, before.url);
  endpoint.event_types := coalesce(update_endpoint.event_types, before.event_types);
  endpoint.headers := coalesce(update_endpoint.headers, before.headers);
  endpoint.max_per_second := CASE WHEN update_endpoint.max_per_second IS NULL THEN before.max_per_second ELSE nullif(update_endpoint.max_per_second, 0) END;
  endpoint.description := CASE WHEN update_endpoint.description IS NULL THEN before.description ELSE nullif(update_endpoint.description, '') END;
  IF endpoint IS NOT DISTINCT FROM before THEN
    RETURN false;
  END IF;
  UPDATE walpost.endpoints AS e
     SET url = endpoint.url, event_types = endpoint.event_types, headers = endpoint.headers, max_per_second = endpoint.max_per_second,
         description = endpoint.description, updated_at = clock_timestamp()
   WHERE e.endpoint_id = before.endpoint_id;
  PERFORM walpost_internal.note_endpoint_change(endpoint, 'updated');
  RETURN true;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.rotate_endpoint_secret(endpoint_id uuid, overlap interval DEFAULT '24 hours') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.rotate_endpoint_secret', endpoint_id);
  now      CONSTANT timestamptz := clock_timestamp();
BEGIN
  IF overlap IS NULL OR overlap < interval '0' OR overlap > interval '30 days' THEN
    RAISE EXCEPTION 'walpost.rotate_endpoint_secret: overlap must be from 0 to 30 days'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'For how long requests are signed with the old secret too.';
  END IF;
  UPDATE walpost.endpoint_secrets AS s SET expires_at = now + overlap
   WHERE s.endpoint_id = endpoint.endpoint_id AND (s.expires_at IS NULL OR s.expires_at > now + overlap);
  -- Each one that is valid makes the header of every request longer.
  IF (SELECT count(*) FROM walpost.endpoint_secrets AS s WHERE s.endpoint_id = endpoint.endpoint_id AND s.expires_at > now) >= 5 THEN
    RAISE EXCEPTION 'walpost.rotate_endpoint_secret: five secrets of the endpoint are still valid'
      USING ERRCODE = 'program_limit_exceeded', HINT = 'Wait until one has expired, or end them at once: overlap => ''0''.';
  END IF;
  DELETE FROM walpost.endpoint_secrets AS s WHERE s.endpoint_id = endpoint.endpoint_id AND s.expires_at < now - interval '1 day';
  PERFORM walpost_internal.note_endpoint_change(endpoint, 'secret');
  RETURN walpost_internal.make_endpoint_secret(endpoint.endpoint_id);
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.remove_endpoint(endpoint_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.remove_endpoint', endpoint_id);
BEGIN
  PERFORM walpost_internal.note_endpoint_change(endpoint, 'removed');
  -- What was committed before is still to be signed. walpost.prune takes the secrets when all of it is settled.
  IF NOT EXISTS (SELECT FROM walpost.cursor) THEN
    DELETE FROM walpost.endpoint_secrets AS s WHERE s.endpoint_id = endpoint.endpoint_id;
  END IF;
  DELETE FROM walpost.endpoints AS e WHERE e.endpoint_id = endpoint.endpoint_id;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.make_endpoint_secret(uuid) IS 'Makes the secret that signs from now on, and returns it.';
COMMENT ON FUNCTION walpost_internal.endpoints_are_copied() IS
  'Whether the endpoints came with a copy of another database, and nobody has adopted them: then nothing is sent to them.';
COMMENT ON FUNCTION walpost_internal.record_endpoint_installation() IS
  'Records with the first endpoint which cluster and database it belongs to, and warns in a copy.';
COMMENT ON FUNCTION walpost.add_endpoint(text, uuid, text, text[], jsonb, numeric, text) IS
  'Adds an endpoint of an organization at a sink with endpoints: true, and returns its id and its secret, which is not shown again. It gets the events that commit after it.';
COMMENT ON FUNCTION walpost.update_endpoint(uuid, text, text[], jsonb, numeric, text) IS
  'Changes what is not null of an endpoint; max_per_second => 0 and description => '''' take theirs away. False when nothing differs.';
COMMENT ON FUNCTION walpost.rotate_endpoint_secret(uuid, interval) IS
  'Makes another secret of an endpoint and returns it, once. Until the overlap has passed, requests are signed with the old one too.';
COMMENT ON FUNCTION walpost.remove_endpoint(uuid) IS
  'Removes an endpoint. What is parked for it is discarded; dead letters stay. walpost.prune takes its secrets when nothing is to be signed with them.';
