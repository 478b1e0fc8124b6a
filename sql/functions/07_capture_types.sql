-- How capture takes values without running code of anybody else.
--
-- A capture trigger runs with the rights of the owner of this schema, over tables and types that others own. The owner of a type can add
-- casts to it, also long after capture, and a cast to text or json is a function that runs wherever a value is cast. The output function
-- of a type always belongs to the server or to a superuser; format('%s', ...) calls that one and no cast. So capture takes a value in one
-- of these renditions:
--
--   system   a type of the server, or a domain over one: as it is
--   text     an enum, a range, or a base type of another role: its text
--   array    an array of those: an array of their texts
--   trusted  a base type of a superuser (citext, hstore), a composite of a superuser or of the owner of this schema whose fields print
--            without code of others, or an array of those: as it is
--
-- Every other type is refused. The owner of a table can change the type of a column later, so the trigger compares the types each time and
-- reads the catalog only when they differ.

CREATE OR REPLACE FUNCTION walpost_internal.is_trusted(role oid) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- public belongs to pg_database_owner, and that is whoever owns the database.
  SELECT coalesce(bool_or(o.rolsuper OR o.oid = (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'walpost')), false)
    FROM pg_roles AS r
         JOIN pg_roles AS o ON o.oid = CASE r.rolname WHEN 'pg_database_owner'
           THEN (SELECT d.datdba FROM pg_database AS d WHERE d.datname = current_database()) ELSE r.oid END
   WHERE r.oid = is_trusted.role;
END;

CREATE OR REPLACE FUNCTION walpost_internal.base_type(type oid) RETURNS pg_type
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  base pg_type;
BEGIN
  SELECT * INTO base FROM pg_type AS t WHERE t.oid = type;
  WHILE base.typtype = 'd' LOOP
    SELECT * INTO base FROM pg_type AS t WHERE t.oid = base.typbasetype;
  END LOOP;
  RETURN base;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.prints_as_is(type oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  base CONSTANT pg_type := walpost_internal.base_type(type);
BEGIN
  RETURN CASE
    WHEN base.oid < 16384 THEN true -- made with the cluster
    WHEN base.typsubscript = 'array_subscript_handler'::regproc THEN walpost_internal.prints_as_is(base.typelem)
    WHEN NOT walpost_internal.is_trusted(base.typowner) THEN false
    ELSE NOT EXISTS (SELECT FROM pg_attribute AS a
                      WHERE base.typtype = 'c' AND a.attrelid = base.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                        AND NOT walpost_internal.prints_as_is(a.atttypid))
  END;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.capture_rendition(type oid) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  base     CONSTANT pg_type := walpost_internal.base_type(type);
  is_array CONSTANT boolean := base.typsubscript = 'array_subscript_handler'::regproc;
  leaf     CONSTANT pg_type := CASE WHEN is_array THEN walpost_internal.base_type(base.typelem) ELSE base END;
BEGIN
  RETURN CASE
    WHEN base.oid < 16384 THEN 'system'
    WHEN leaf.oid >= 16384 AND (leaf.typtype IN ('e', 'r', 'm') OR leaf.typtype = 'b' AND NOT walpost_internal.prints_as_is(leaf.oid))
      THEN CASE WHEN is_array THEN 'array' ELSE 'text' END
    WHEN walpost_internal.prints_as_is(base.oid) THEN 'trusted'
  END;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.holds_json(type oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  base CONSTANT pg_type := walpost_internal.base_type(type);
BEGIN
  RETURN CASE
    WHEN base.oid = 'json'::regtype THEN true
    WHEN base.typsubscript = 'array_subscript_handler'::regproc THEN walpost_internal.holds_json(base.typelem)
    ELSE EXISTS (SELECT FROM pg_attribute AS a
                  WHERE base.typtype = 'c' AND a.attrelid = base.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                    AND walpost_internal.holds_json(a.atttypid))
  END;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.captured_json(value json) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $function$
-- json keeps what jsonb cannot hold: \u0000, half of a surrogate pair, numbers without end. Such a value is the business of the
-- application, so its statement must not fail: a character becomes the replacement character, anything else a text.
DECLARE
  high CONSTANT text := '\\u[dD][89abAB][0-9a-fA-F]{2}';
  low  CONSTANT text := '\\u[dD][c-fC-F][0-9a-fA-F]{2}';
BEGIN
  BEGIN
    RETURN value::jsonb;
  EXCEPTION WHEN OTHERS THEN
    BEGIN
      RETURN regexp_replace(regexp_replace(value::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g'),
        format('(?<!\\)((?:\\\\)*)%1$s(?!%2$s)|(?<!%1$s)(?<!\\)((?:\\\\)*)%2$s', high, low), '\1\2\\ufffd', 'g')::jsonb;
    EXCEPTION WHEN OTHERS THEN
      RETURN to_jsonb(value::text);
    END;
  END;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.capture_problem("table" regclass, options jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  wanted record;
  col    pg_attribute;
BEGIN
  FOR wanted IN SELECT * FROM jsonb_to_recordset(options -> 'needed') AS n (name name, number smallint, rendition text) LOOP
    SELECT * INTO col FROM pg_attribute AS a WHERE a.attrelid = "table" AND a.attname = wanted.name AND NOT a.attisdropped;
    IF NOT FOUND THEN
      RETURN coalesce(
        (SELECT format('its column %I is called %I now', wanted.name, a.attname) FROM pg_attribute AS a
          WHERE a.attrelid = "table" AND a.attnum = wanted.number AND NOT a.attisdropped),
        format('its column %I was dropped', wanted.name));
    END IF;
    -- What is printed by its output function is safe whatever it became.
    IF wanted.rendition = 'system' AND walpost_internal.capture_rendition(col.atttypid) IS DISTINCT FROM 'system'
       OR wanted.rendition = 'trusted' AND coalesce(walpost_internal.capture_rendition(col.atttypid) NOT IN ('trusted', 'system'), true)
       OR wanted.name = (options ->> 'organization_column')::name
          AND col.atttypid NOT IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype) THEN
      RETURN format('its column %s is of another type now: %s', wanted.name, format_type(col.atttypid, col.atttypmod));
    END IF;
  END LOOP;
  RETURN NULL;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.raise_capture_problem("table" regclass, problem text, code text DEFAULT '55000') RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  captured regclass;
BEGIN
  IF problem IS NOT NULL THEN
    -- A trigger for each row runs on the partition; release and capture take the table that it was made for.
    captured := coalesce(
      (SELECT a.relid FROM pg_partition_ancestors("table") WITH ORDINALITY AS a (relid, place)
        WHERE EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                       WHERE t.tgrelid = a.relid AND t.tgparentid = 0 AND p.pronamespace = 'walpost_internal'::regnamespace
                         AND p.proname LIKE 'capture\_%')
        ORDER BY a.place LIMIT 1), "table");
    RAISE EXCEPTION 'walpost captures %, and %', captured, problem
      USING ERRCODE = code,
            HINT = format('As the owner of the schema walpost, call walpost.capture(''%1$s'', ...) again, or SELECT walpost.release(''%1$s'').', captured);
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.captured_fault(organization_id uuid, entity_id text, payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN organization_id IS NULL THEN 'a row has no organization, which its condition could leave out'
  WHEN char_length(entity_id) > 1024 THEN 'the id of a row is longer than 1024 characters'
  WHEN octet_length(payload::text) > 1048576 THEN 'the payload of a row is larger than 1 MiB'
END;

CREATE OR REPLACE FUNCTION walpost_internal.captured_size_fault(payload jsonb, topic text, bytes_at_most integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bytes_at_most < octet_length(payload::text) THEN
  format('the payload of a row has %s bytes, the limit of topic "%s" is %s', octet_length(payload::text), topic, bytes_at_most)
END;

CREATE OR REPLACE FUNCTION walpost_internal.foreign_code(probe regclass) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- The server's own objects are not recorded as dependencies. An owner who may create in the schema could put a better match beside it.
  WITH used AS (
    SELECT d.refclassid, d.refobjid FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
     WHERE r.ev_class = foreign_code.probe AND d.refobjid <> foreign_code.probe
  ), code AS (
    SELECT 'function ' || p.oid::regprocedure AS what, p.proowner AS owner, p.pronamespace AS namespace, false AS open
      FROM used AS u JOIN pg_proc AS p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid
    UNION ALL
    SELECT 'operator ' || o.oid::regoperator, o.oprowner, o.oprnamespace, NOT walpost_internal.is_trusted(p.proowner)
      FROM used AS u JOIN pg_operator AS o ON u.refclassid = 'pg_operator'::regclass AND o.oid = u.refobjid
           JOIN pg_proc AS p ON p.oid = o.oprcode
    UNION ALL
    SELECT 'type ' || t.oid::regtype, t.typowner, NULL, false
      FROM used AS u JOIN pg_type AS t ON u.refclassid = 'pg_type'::regclass AND t.oid = u.refobjid
    UNION ALL
    SELECT 'table ' || c.oid::regclass, c.relowner, NULL, c.relkind NOT IN ('r', 'p', 'm', 'S') OR c.relrowsecurity
      FROM used AS u JOIN pg_class AS c ON u.refclassid = 'pg_class'::regclass AND c.oid = u.refobjid
  )
  SELECT min(c.what) FROM code AS c LEFT JOIN pg_namespace AS n ON n.oid = c.namespace
   WHERE c.open OR NOT walpost_internal.is_trusted(c.owner) OR n.oid IS NOT NULL AND NOT walpost_internal.is_trusted(n.nspowner)
      OR EXISTS (SELECT FROM aclexplode(n.nspacl) AS a WHERE a.privilege_type = 'CREATE' AND NOT walpost_internal.is_trusted(a.grantee));
END;

COMMENT ON FUNCTION walpost_internal.is_trusted(oid) IS
  'Whether code of this role may run with the rights of walpost: a superuser or the owner of this schema.';
COMMENT ON FUNCTION walpost_internal.base_type(oid) IS 'The type behind a domain, or the type itself.';
COMMENT ON FUNCTION walpost_internal.prints_as_is(oid) IS
  'Whether making JSON of a value of this type runs no code but the server''s and that of trusted roles.';
COMMENT ON FUNCTION walpost_internal.capture_rendition(oid) IS
  'How capture takes values of a type: system, text, array, trusted; null where it refuses them.';
COMMENT ON FUNCTION walpost_internal.holds_json(oid) IS 'Whether values of a type can hold json, which jsonb may refuse.';
COMMENT ON FUNCTION walpost_internal.captured_json(json) IS
  'json as jsonb, with the replacement character for what jsonb refuses; as a text where that is not enough.';
COMMENT ON FUNCTION walpost_internal.capture_problem(regclass, jsonb) IS
  'Which captured column is not as it was when walpost.capture was called; null when all fit.';
COMMENT ON FUNCTION walpost_internal.raise_capture_problem(regclass, text, text) IS
  'Raises an error that names walpost and the captured table, where there is a problem.';
COMMENT ON FUNCTION walpost_internal.captured_fault(uuid, text, jsonb) IS 'Why the outbox would refuse an event of capture.';
COMMENT ON FUNCTION walpost_internal.captured_size_fault(jsonb, text, integer) IS
  'Why an event of capture is too large for its topic; null where the topic has no limit of its own.';
COMMENT ON FUNCTION walpost_internal.foreign_code(regclass) IS
  'Something that a view uses and that a role owns, or could put in its place, which is not trusted; null where there is nothing.';
