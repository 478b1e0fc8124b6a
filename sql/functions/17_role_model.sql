-- The role model, compared with what is there.
--
-- Rights have other sources than these files. ALTER DEFAULT PRIVILEGES adds rights to every table as it is made; a restore without ACLs gives
-- every function to PUBLIC; one without roles loses policies. deviations() lists what differs from role_grants() and the rest of the
-- model, each with the statement that mends it. walpost migrate runs these statements each time and prints a line for each; walpost run warns
-- of them.
--
-- Rights come by membership in the roles of walpost. A grant to another role is revoked and named: nothing distinguishes an intended grant
-- from an accidental one.

CREATE OR REPLACE FUNCTION walpost_internal.model_rights(OUT role text, OUT class regclass, OUT object oid, OUT number smallint, OUT privilege text)
RETURNS SETOF record
LANGUAGE sql STABLE ROWS 200
SET jit = off -- the estimates are far too high
BEGIN ATOMIC
  WITH part AS MATERIALIZED (
    SELECT r.key AS role, split_part(p.value, ' ON ', 1) AS privileges, substr(p.value, strpos(p.value, ' ON ') + 4) AS target
      FROM jsonb_each(walpost_internal.role_grants()) AS r CROSS JOIN LATERAL jsonb_array_elements_text(r.value) AS p
  ), given AS MATERIALIZED (
    SELECT p.role, p.target, m.found[1] AS privilege, regexp_split_to_array(m.found[2], ',\s*') AS columns
      FROM part AS p CROSS JOIN LATERAL regexp_matches(p.privileges, '([A-Z]+)(?:\s*\(([^)]*)\))?', 'g') AS m (found)
  ), named AS MATERIALIZED (
    SELECT g.*, split_part(n.name, '.', 1) AS schema, split_part(n.name, '.', 2) AS name
      FROM given AS g CROSS JOIN LATERAL regexp_split_to_table(regexp_replace(g.target, '^(FUNCTION|SEQUENCE) ', ''), ',\s*') AS n (name)
  )
  SELECT r.key, 'pg_namespace'::regclass, s.oid, 0::smallint, 'USAGE'
    FROM jsonb_each(walpost_internal.role_grants()) AS r JOIN pg_namespace AS s ON s.nspname IN ('walpost', 'walpost_internal')
   UNION
  SELECT n.role, 'pg_proc'::regclass, p.oid, 0::smallint, n.privilege
    FROM named AS n JOIN pg_proc AS p ON p.pronamespace = n.schema::regnamespace AND p.proname = n.name
   WHERE n.target LIKE 'FUNCTION %'
   UNION
  SELECT n.role, 'pg_class'::regclass, c.oid, coalesce(a.attnum, 0)::smallint, n.privilege
    FROM named AS n
         JOIN pg_class AS c ON c.relnamespace = 'walpost'::regnamespace AND CASE
           WHEN n.target LIKE 'ALL TABLES %' THEN c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
           ELSE c.relname = n.name AND c.relkind IN ('r', 'p', 'v', 'm', 'S') END
         LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = ANY (n.columns) AND NOT a.attisdropped
   WHERE n.target NOT LIKE 'FUNCTION %' AND (n.columns IS NULL OR a.attnum IS NOT NULL)
   UNION -- A trigger for each row is made again on every new partition, and whoever adds one must hold EXECUTE.
  SELECT r.rolname, 'pg_proc'::regclass, p.oid, 0::smallint, 'EXECUTE'
    FROM pg_trigger AS t
         JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = 'walpost_internal'::regnamespace AND p.proname LIKE 'capture\_%'
         JOIN pg_class AS c ON c.oid = t.tgrelid AND c.relkind = 'p' AND c.relowner <> p.proowner
         JOIN pg_roles AS r ON r.oid = c.relowner
   WHERE t.tgparentid = 0 AND NOT t.tgisinternal AND t.tgtype & 1 = 1
   UNION -- seq is an identity until the outbox is partitioned
  SELECT walpost_internal.role_prefix() || 'walpost_publisher', 'pg_class'::regclass, c.oid, 0::smallint, 'USAGE'
    FROM pg_class AS c WHERE c.relnamespace = 'walpost'::regnamespace AND c.relname = 'outbox_seq' AND c.relkind = 'S'
     AND EXISTS (SELECT FROM pg_class AS o WHERE o.oid = to_regclass('walpost.outbox') AND o.relkind = 'p');
END;

CREATE OR REPLACE FUNCTION walpost_internal.held_rights(
  OUT role text, OUT class regclass, OUT object oid, OUT number smallint, OUT privilege text, OUT grantable boolean
) RETURNS SETOF record
LANGUAGE sql STABLE ROWS 200
SET jit = off -- the estimates are far too high
BEGIN ATOMIC
  -- What the owner has given; what others have passed on goes with it.
  WITH ours AS MATERIALIZED (
    SELECT 'pg_namespace'::regclass AS class, s.oid, 0::smallint AS number, s.nspowner AS owner, s.nspacl AS acl
      FROM pg_namespace AS s WHERE s.nspname IN ('walpost', 'walpost_internal')
     UNION ALL
    SELECT 'pg_proc', p.oid, 0, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc AS p WHERE p.pronamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace)
     UNION ALL
    SELECT 'pg_class', c.oid, 0, c.relowner, c.relacl
      FROM pg_class AS c
     WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
     UNION ALL
    SELECT 'pg_class', c.oid, a.attnum, c.relowner, a.attacl
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
     WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
  )
  SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE r.rolname END, o.class, o.oid, o.number, x.privilege_type, x.is_grantable
    FROM ours AS o CROSS JOIN LATERAL aclexplode(o.acl) AS x LEFT JOIN pg_roles AS r ON r.oid = x.grantee
   WHERE x.grantee <> o.owner AND x.grantor = o.owner AND (x.grantee = 0 OR r.oid IS NOT NULL);
END;

CREATE OR REPLACE FUNCTION walpost_internal.right_deviations(OUT object oid, OUT what text, OUT statement text) RETURNS SETOF record
LANGUAGE sql STABLE ROWS 200
SET jit = off -- the estimates are far too high
BEGIN ATOMIC
  WITH held AS MATERIALIZED (SELECT * FROM walpost_internal.held_rights()), model AS MATERIALIZED (SELECT * FROM walpost_internal.model_rights()),
  differing AS MATERIALIZED (
    SELECT e.*, true AS excess
      FROM (SELECT h.role, h.class, h.object, h.number, h.privilege FROM held AS h
            EXCEPT SELECT m.role, m.class, m.object, m.number, m.privilege FROM model AS m
             UNION SELECT h.role, h.class, h.object, h.number, h.privilege FROM held AS h WHERE h.grantable) AS e
     UNION ALL
    SELECT l.*, false
      FROM (SELECT m.role, m.class, m.object, m.number, m.privilege FROM model AS m
            EXCEPT SELECT h.role, h.class, h.object, h.number, h.privilege FROM held AS h WHERE NOT h.grantable) AS l
     WHERE EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = l.role)
  ), listed AS (
    SELECT d.role, d.class, d.object, d.excess,
           string_agg(d.privilege || coalesce(' (' || quote_ident(a.attname) || ')', ''), ', ' ORDER BY d.privilege, d.number) AS privileges
      FROM differing AS d
           LEFT JOIN pg_attribute AS a ON d.class = 'pg_class'::regclass AND d.number > 0 AND a.attrelid = d.object AND a.attnum = d.number
     GROUP BY d.role, d.class, d.object, d.excess
  )
  SELECT l.object,
         format(CASE WHEN l.excess THEN 'role %s holds %s on %s, which is not in the role model' ELSE 'role %s lacks %s on %s' END,
                l.role, l.privileges, n.name),
         format(CASE WHEN l.excess THEN 'REVOKE %1$s ON %2$s%3$s FROM %4$s CASCADE' ELSE 'GRANT %1$s ON %2$s%3$s TO %4$s' END,
                l.privileges, n.kind, n.name, CASE WHEN l.role = 'PUBLIC' THEN l.role ELSE quote_ident(l.role) END)
    FROM listed AS l CROSS JOIN LATERAL (
      SELECT CASE l.class WHEN 'pg_namespace'::regclass THEN 'SCHEMA ' WHEN 'pg_proc'::regclass THEN 'FUNCTION '
               ELSE (SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END FROM pg_class AS c WHERE c.oid = l.object) END AS kind,
             CASE l.class WHEN 'pg_namespace'::regclass THEN l.object::regnamespace::text WHEN 'pg_proc'::regclass THEN l.object::regprocedure::text
               ELSE (SELECT format('%s.%I', c.relnamespace::regnamespace, c.relname) FROM pg_class AS c WHERE c.oid = l.object) END AS name) AS n
   ORDER BY l.excess DESC, n.name, l.role;
END;

CREATE OR REPLACE FUNCTION walpost_internal.security_deviations(OUT object oid, OUT what text, OUT statement text) RETURNS SETOF record
LANGUAGE sql STABLE ROWS 200
SET jit = off -- the estimates are far too high
BEGIN ATOMIC
  -- Every table with rows of organizations, and every part of the outbox, in whatever schema.
  WITH held AS MATERIALIZED (
    SELECT c.oid, c.oid::regclass AS name, c.relrowsecurity AND NOT c.relforcerowsecurity AS secured,
           EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'created_xid') AS has_xid
      FROM pg_class AS c
     WHERE c.relkind IN ('r', 'p')
       AND (c.relnamespace = 'walpost'::regnamespace
            AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped)
            OR c.oid IN (SELECT t.relid FROM pg_partition_tree(to_regclass('walpost.outbox')) AS t))
  ), policy AS MATERIALIZED (
    SELECT p.polrelid, p.polname, p.polpermissive AND p.polcmd = '*' AS whole, p.polroles,
           pg_get_expr(p.polqual, p.polrelid) AS shows, pg_get_expr(p.polwithcheck, p.polrelid) AS takes
      FROM pg_policy AS p
  )
  SELECT h.oid, format('row-level security of %s is off, is forced, or has no policy of walpost', h.name),
         format('SELECT walpost_internal.isolate(%L)', h.name)
    FROM held AS h
   WHERE NOT h.secured
      OR NOT EXISTS (SELECT FROM policy AS p WHERE p.polrelid = h.oid AND p.polname = 'organization' AND p.whole AND p.polroles = '{0}'
                        AND p.takes ~ '^\(organization_id = \( ?SELECT walpost_internal\.current_organization(_id)?\(\)'
                        AND p.shows = CASE WHEN h.has_xid THEN format('(%s AND ((created_xid = pg_current_xact_id_if_assigned()) OR ( '
                              'SELECT walpost_internal.reads_every_event() AS reads_every_event)))', p.takes) ELSE p.takes END)
   UNION ALL
  SELECT h.oid, format('policy %s of %s is missing, or not as it was made', w.name, h.name),
         format('DROP POLICY IF EXISTS %1$I ON %2$s; CREATE POLICY %1$I ON %2$s TO %3$I USING (true) WITH CHECK (true); '
                'COMMENT ON POLICY %1$I ON %2$s IS ''Every row: it works for all organizations.''', w.name, h.name, r.rolname)
    FROM held AS h CROSS JOIN (VALUES ('walpost_relay'), ('walpost_operator')) AS w (name)
         JOIN pg_roles AS r ON r.rolname = walpost_internal.role_prefix() || w.name
   WHERE NOT EXISTS (SELECT FROM policy AS p WHERE p.polrelid = h.oid AND p.polname = w.name AND p.whole
                        AND p.polroles = ARRAY[r.oid] AND p.shows = 'true' AND p.takes = 'true')
   UNION ALL
  SELECT c.oid, format('row-level security of %s is off, or without a policy of walpost', c.oid::regclass),
         format('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS relay ON %1$s; '
         'CREATE POLICY relay ON %1$s FOR SELECT USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r '
         'WHERE r.rolname = %2$L AND pg_catalog.pg_has_role(r.oid, ''USAGE''))); COMMENT ON POLICY relay ON %1$s IS %3$L',
         c.oid::regclass, walpost_internal.role_prefix() || 'walpost_relay', s.reason)
    FROM (VALUES ('walpost.emit_keys', 'The relay needs them to tell an event from a message of somebody else.'),
                 ('walpost.endpoint_secrets', 'The relay signs with them.')) AS s (name, reason)
         JOIN pg_class AS c ON c.oid = to_regclass(s.name)
   WHERE NOT (c.relrowsecurity AND EXISTS (SELECT FROM policy AS p WHERE p.polrelid = c.oid AND p.polname = 'relay'
                        AND strpos(p.shows, quote_literal(walpost_internal.role_prefix() || 'walpost_relay')) > 0))
   UNION ALL
  SELECT a.attrelid, format('the statistics of the server would hold secrets of %s', a.attrelid::regclass),
         format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', a.attrelid::regclass, a.attname)
    FROM (VALUES ('walpost.emit_keys', 'secret'), ('walpost.endpoint_secrets', 'secret'), ('walpost.endpoints', 'url'),
                 ('walpost.endpoints', 'headers'), ('walpost.endpoint_changes', 'url'), ('walpost.endpoint_changes', 'headers')) AS s (name, "column")
         JOIN pg_attribute AS a ON a.attrelid = to_regclass(s.name) AND a.attname = s."column"
   WHERE a.attstattarget IS DISTINCT FROM 0;
END;

CREATE OR REPLACE FUNCTION walpost.deviations(OUT what text, OUT statement text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
BEGIN ATOMIC
  SELECT format('role %s is missing', r.key),
         format('CREATE ROLE %1$I NOLOGIN; COMMENT ON ROLE %1$I IS ''Rights of walpost, to be granted to logins; see docs/sql.md.''', r.key)
    FROM jsonb_each(walpost_internal.role_grants()) AS r
   WHERE NOT EXISTS (SELECT FROM pg_roles AS known WHERE known.rolname = r.key)
   UNION ALL
  SELECT d.what, d.statement FROM walpost_internal.security_deviations() AS d
   UNION ALL
  SELECT d.what, d.statement FROM walpost_internal.right_deviations() AS d
   UNION ALL
  SELECT d.what, d.statement FROM walpost_internal.capture_deviations() AS d
   UNION ALL
  SELECT 'publication walpost is missing',
         'CREATE PUBLICATION walpost FOR TABLE walpost.outbox, walpost.endpoint_changes WITH (publish = ''insert'', publish_via_partition_root = true); '
         'COMMENT ON PUBLICATION walpost IS ''New rows of walpost.outbox, for the slot of the walpost relay.'''
   WHERE NOT EXISTS (SELECT FROM pg_publication AS p WHERE p.pubname = 'walpost')
   UNION ALL
  SELECT 'publication walpost does not publish inserts alone, or names partitions',
         'ALTER PUBLICATION walpost SET (publish = ''insert'', publish_via_partition_root = true)'
    FROM pg_publication AS p
   WHERE p.pubname = 'walpost' AND NOT (p.pubinsert AND p.pubviaroot AND NOT p.pubupdate AND NOT p.pubdelete AND NOT p.pubtruncate)
   UNION ALL
  SELECT format('publication walpost does not hold %s', t.name), format('ALTER PUBLICATION walpost ADD TABLE %s', t.name)
    FROM pg_publication AS p CROSS JOIN (VALUES ('walpost.outbox'), ('walpost.endpoint_changes')) AS t (name)
   WHERE p.pubname = 'walpost' AND NOT p.puballtables AND to_regclass(t.name) IS NOT NULL
     AND NOT EXISTS (SELECT FROM pg_publication_rel AS r WHERE r.prpubid = p.oid AND r.prrelid = to_regclass(t.name))
     AND NOT EXISTS (SELECT FROM pg_publication_namespace AS n WHERE n.pnpubid = p.oid AND n.pnnspid = 'walpost'::regnamespace);
END;

CREATE OR REPLACE FUNCTION walpost_internal.mend(object oid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET jit = off
AS $function$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT d.statement FROM walpost_internal.security_deviations() AS d WHERE d.object = mend.object
     UNION ALL
    SELECT d.statement FROM walpost_internal.right_deviations() AS d WHERE d.object = mend.object
  LOOP
    EXECUTE found.statement;
  END LOOP;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.mend_deviations() RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET jit = off
AS $function$
DECLARE
  found   record;
  missing text[] := '{}';
BEGIN
  -- Roles first, because rights and policies are theirs.
  FOR round IN 1 .. 2 LOOP
    FOR found IN SELECT d.what, d.statement FROM walpost.deviations() AS d WHERE round = 2 OR d.statement LIKE 'CREATE ROLE %' LOOP
      BEGIN
        EXECUTE found.statement;
        RETURN NEXT found.what;
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL; -- made for another database of the cluster at this moment
        WHEN insufficient_privilege THEN
          IF found.statement NOT LIKE 'CREATE ROLE %' THEN
            RAISE WARNING 'walpost: %, and this role may not mend it', found.what
              USING HINT = format('As the owner of the object, or an administrator: %s;', found.statement);
          ELSIF round = 1 THEN
            missing := missing || regexp_replace(found.statement, ';.*', ';');
          END IF;
      END;
    END LOOP;
  END LOOP;
  IF missing <> '{}' THEN
    RAISE WARNING 'walpost: this role may not create roles, so some are missing'
      USING HINT = format('As an administrator: %s Then, as the owner of the schema walpost: SELECT walpost.apply_grants();', array_to_string(missing, ' '));
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.apply_grants() RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM walpost_internal.mend_deviations();
  RETURN ARRAY(SELECT r.key FROM jsonb_each(walpost_internal.role_grants()) AS r
                WHERE NOT EXISTS (SELECT FROM pg_roles AS known WHERE known.rolname = r.key) ORDER BY 1);
END;
$function$;

COMMENT ON FUNCTION walpost_internal.model_rights() IS 'The rights of role_grants(), and those of the owners of captured tables; one a row; a number is that of a column.';
COMMENT ON FUNCTION walpost_internal.held_rights() IS
  'The rights on the objects of walpost that are granted to others than their owner, one a row.';
COMMENT ON FUNCTION walpost_internal.right_deviations() IS 'Rights that roles hold beyond the model, or lack.';
COMMENT ON FUNCTION walpost_internal.security_deviations() IS
  'Tables whose row-level security, policies or statistics are not as they must be.';
COMMENT ON FUNCTION walpost.deviations() IS
  'What is not as the role model wants it, each with the statement that mends it; nothing when all is well.';
COMMENT ON FUNCTION walpost_internal.mend(oid) IS 'Brings one table or function to the role model.';
COMMENT ON FUNCTION walpost_internal.mend_deviations() IS
  'Brings roles, rights, policies, row-level security and publication to the model, and says what it changed.';
COMMENT ON FUNCTION walpost.apply_grants() IS
  'Brings everything to the role model, and returns the roles that are missing because this role may not create them.';
