-- Isolation by organization: who may see and write which rows.
--
-- A session works for one organization: the one in the claims of a Supabase token, else the one in app.current_org_id. None
-- is no organization, and shows nothing. Roles that work for all of them have a policy of their own (028_roles.sql).
--
-- Security is forced, so that the owner of the tables is held to it as well, once the session says whom it works for. An
-- owner that says nothing is the operator, the relay of a small installation, or a function of this schema that has to see
-- every row; such a function sets walpost.scope, which takes the organization from the session for as long as it runs.

CREATE FUNCTION walpost.current_organization() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  claimed text;
BEGIN
  IF current_setting('walpost.scope', true) = 'all' THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
              WHERE n.nspname = 'auth' AND p.proname = 'jwt' AND p.pronargs = 0
                AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')) THEN
    -- user_metadata is not asked: users write it themselves.
    EXECUTE 'SELECT coalesce(t.claims -> ''app_metadata'' ->> ''organization_id'', t.claims ->> ''organization_id'')
               FROM (SELECT to_jsonb(auth.jwt()) AS claims) AS t' INTO claimed;
  END IF;
  RETURN lower(coalesce(nullif(claimed, ''), nullif(current_setting('app.current_org_id', true), '')));
END;
$function$;

CREATE FUNCTION walpost.sees_every_organization() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT pg_has_role(current_user, (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'walpost'), 'USAGE')
     AND walpost.current_organization() IS NULL;
END;

CREATE FUNCTION walpost.isolate("table" regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $function$
DECLARE
  id_type text;
BEGIN
  SELECT a.atttypid::regtype::text INTO STRICT id_type FROM pg_attribute AS a
   WHERE a.attrelid = "table" AND a.attname = 'organization_id';
  EXECUTE format('DROP POLICY IF EXISTS organization ON %s', "table");
  EXECUTE format('DROP POLICY IF EXISTS owner ON %s', "table");
  EXECUTE format(
    'CREATE POLICY organization ON %1$s USING (organization_id = (SELECT walpost.current_organization())::%2$s)'
    ' WITH CHECK (organization_id = (SELECT walpost.current_organization())::%2$s)', "table", id_type);
  EXECUTE format(
    'CREATE POLICY owner ON %s USING ((SELECT walpost.sees_every_organization()))'
    ' WITH CHECK ((SELECT walpost.sees_every_organization()))', "table");
  EXECUTE format('COMMENT ON POLICY organization ON %s IS ''Rows of the organization that the session works for.''', "table");
  EXECUTE format('COMMENT ON POLICY owner ON %s IS ''Every row, for the owner of the schema in a session that names no organization.''', "table");
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', "table");
END;
$function$;

-- All locks first, and given up soon, so that no transaction of an application is ever the one that has to yield.
DO $do$
BEGIN
  PERFORM set_config('lock_timeout', '200ms', true);
  FOR attempt IN 1 .. 150 LOOP
    BEGIN
      LOCK TABLE walpost.command_results, walpost.idempotency_keys, walpost.outbox, walpost.parked,
                 walpost.dead_letters, walpost.delivery_log IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      IF attempt = 150 THEN RAISE; END IF;
      PERFORM pg_sleep(0.05);
    END;
  END LOOP;
  PERFORM walpost.isolate(t.name) FROM unnest(ARRAY[
    'walpost.command_results', 'walpost.idempotency_keys', 'walpost.outbox', 'walpost.parked',
    'walpost.dead_letters', 'walpost.delivery_log']::regclass[]) AS t (name);
END;
$do$;

COMMENT ON FUNCTION walpost.current_organization() IS
  'The organization that the session works for: from the claims of auth.jwt() where that function exists, else from app.current_org_id. Null when there is none.';
COMMENT ON FUNCTION walpost.sees_every_organization() IS
  'Whether row-level security shows the owner of the schema every row: when the session names no organization.';
COMMENT ON FUNCTION walpost.isolate(regclass) IS 'Puts a table with the column organization_id under row-level security by organization.';
