-- Isolation by organization: who may see and write which rows.
--
-- A session works for one organization: the one in the claims of a Supabase token, or else the one in app.current_org_id. A session
-- that names none sees nothing. Roles that work for all organizations have a policy of their own (17_role_model.sql).
--
-- Row-level security is not forced: the owner of the tables sees every row. Forced, it would refuse pg_dump to the owner, and functions
-- that run as the owner (prune, capture) need every row. So applications must not log in as the owner; walpost run and walpost migrate
-- warn when one does.

CREATE OR REPLACE FUNCTION walpost_internal.claimed_organization() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  -- user_metadata is not asked: users write it themselves. The claims are read from where auth.jwt() reads them, because that function
  -- is somebody else's: it would run with the rights of whoever reads a table of walpost.
  SELECT coalesce(nullif(t.claims -> 'app_metadata' ->> n.name, ''), t.claims ->> n.name)
    FROM (SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                          nullif(current_setting('request.jwt.claims', true), ''))::jsonb AS claims) AS t
         CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(
           (SELECT s.value FROM walpost.settings AS s WHERE s.name = 'organization_claims' AND s.topic = '*'),
           '["organization_id"]')) WITH ORDINALITY AS n (name, place)
   WHERE coalesce(nullif(t.claims -> 'app_metadata' ->> n.name, ''), t.claims ->> n.name, '') <> ''
   ORDER BY n.place LIMIT 1;
END;

CREATE OR REPLACE FUNCTION walpost_internal.organization_text(named text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
-- Postgres takes a uuid in several spellings, and texts are compared with the one that it prints.
RETURN CASE WHEN named ~* '^([0-9a-f]{4}-?){7}[0-9a-f]{4}$' OR named ~* '^\{([0-9a-f]{4}-?){7}[0-9a-f]{4}\}$' THEN named::uuid::text ELSE lower(named) END;

CREATE OR REPLACE FUNCTION walpost_internal.current_organization() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  claimed text;
BEGIN
  IF EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
              WHERE n.nspname = 'auth' AND p.proname = 'jwt' AND p.pronargs = 0
                AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')) THEN
    claimed := walpost_internal.claimed_organization();
  END IF;
  RETURN walpost_internal.organization_text(coalesce(claimed, nullif(current_setting('app.current_org_id', true), '')));
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.current_organization_id() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  organization CONSTANT text := walpost_internal.current_organization();
BEGIN
  -- A failed cast would not say where the text comes from.
  IF organization !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    RAISE EXCEPTION 'walpost: the session works for the organization "%", which is no uuid', organization
      USING ERRCODE = 'invalid_text_representation',
            HINT = 'Set app.current_org_id to the uuid of the organization in this transaction. Where it comes from a token, organization_claims in walpost.settings names the claim.';
  END IF;
  RETURN organization::uuid;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.organization_of_session() RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- For functions that run as the owner: what the owner may call says nothing of the session.
AS $function$
DECLARE
  claimed text;
BEGIN
  IF EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
              WHERE n.nspname = 'auth' AND p.proname = 'jwt' AND p.pronargs = 0) THEN
    claimed := walpost_internal.claimed_organization();
  END IF;
  RETURN walpost_internal.organization_text(coalesce(claimed, nullif(current_setting('app.current_org_id', true), '')));
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.session_works_for_all() RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- The rule of row-level security, for functions that run as the owner. The caller is the role of the session.
AS $function$
DECLARE
  caller CONSTANT name := coalesce(nullif(current_setting('role', true), 'none')::name, session_user);
BEGIN
  RETURN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = caller AND (r.rolsuper OR r.rolbypassrls))
      OR walpost_internal.organization_of_session() IS NULL
         AND pg_has_role(caller, (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'walpost'), 'USAGE');
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.reads_every_event() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  -- A publisher has SELECT on the columns, and not on the table.
  SELECT has_table_privilege('walpost.outbox'::text, 'SELECT'::text);
END;

CREATE OR REPLACE FUNCTION walpost_internal.isolate("table" regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $function$
DECLARE
  its_own text;
  visible text := '';
BEGIN
  SELECT CASE WHEN a.atttypid = 'uuid'::regtype THEN 'organization_id = (SELECT walpost_internal.current_organization_id())'
           ELSE 'organization_id = (SELECT walpost_internal.current_organization())' END
    INTO STRICT its_own FROM pg_attribute AS a WHERE a.attrelid = "table" AND a.attname = 'organization_id';
  -- The outbox and its partitions. Libraries read back what they have inserted.
  IF EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = "table" AND a.attname = 'created_xid') THEN
    visible := ' AND (created_xid = pg_current_xact_id_if_assigned() OR (SELECT walpost_internal.reads_every_event()))';
  END IF;
  EXECUTE format('DROP POLICY IF EXISTS organization ON %s', "table");
  EXECUTE format('CREATE POLICY organization ON %1$s USING (%2$s%3$s) WITH CHECK (%2$s)', "table", its_own, visible);
  EXECUTE format('COMMENT ON POLICY organization ON %s IS ''Rows of the organization that the session works for.''', "table");
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', "table");
END;
$function$;

COMMENT ON FUNCTION walpost_internal.claimed_organization() IS
  'The organization in the claims of the request, by the names in organization_claims of walpost.settings; null when there is none.';
COMMENT ON FUNCTION walpost_internal.organization_text(text) IS
  'The text of an organization as it stands in tables: a uuid in whatever spelling as Postgres prints it.';
COMMENT ON FUNCTION walpost_internal.current_organization() IS
  'The organization that the session works for: from the claims of auth.jwt() where that function exists, else from app.current_org_id. Null when there is none.';
COMMENT ON FUNCTION walpost_internal.current_organization_id() IS
  'The organization that the session works for as a uuid; an error says what to set when it is none.';
COMMENT ON FUNCTION walpost_internal.reads_every_event() IS
  'Whether row-level security shows this role the events of other transactions: whether it may read the whole table.';
COMMENT ON FUNCTION walpost_internal.organization_of_session() IS
  'The same for a function that runs as the owner of the schema.';
COMMENT ON FUNCTION walpost_internal.session_works_for_all() IS
  'Whether row-level security does not hold the role of the session: a superuser, one with BYPASSRLS, or the owner without an organization.';
COMMENT ON FUNCTION walpost_internal.isolate(regclass) IS
  'Puts a table with the column organization_id under row-level security by organization.';
