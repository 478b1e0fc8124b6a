-- capture writes events from a business table by triggers; release removes them.
--
-- The triggers fire once a statement and read its transition tables, so an update of 100,000 rows is one INSERT. Their function is written
-- for the table: columns and condition are part of it as SQL.
--
-- A trigger of the application that fires once a row runs before every trigger of the statement. When it updates the row that was just
-- inserted, that update would be told before the insert. A table with such triggers is captured row by row; the name of our trigger
-- begins with !, so that it is the first of them.
--
-- The function belongs to the owner of this schema and runs with the owner's rights for all organizations: one statement may touch rows of
-- many, and the role that writes the business table needs no right on the outbox. So no code of anybody else may run in it;
-- 07_capture_types.sql says how values are taken, and refuse_condition checks the condition.

CREATE OR REPLACE FUNCTION walpost_internal.refuse_capture(
  "table" regclass, entity_type text, event_prefix text, needed name[], topic text, operations text[], on_truncate text, target text, capture_name text
) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  relation record;
  bad      text;
BEGIN
  SELECT c.relkind, c.relispartition, c.relnamespace::regnamespace::text AS schema,
         (SELECT i.inhparent::regclass FROM pg_inherits AS i WHERE i.inhrelid = c.oid LIMIT 1) AS parent
    INTO relation FROM pg_class AS c WHERE c.oid = "table";
  bad := CASE
    WHEN "table" IS NULL THEN 'table_name must not be null'
    WHEN relation IS NULL THEN 'there is no such table'
    WHEN relation.relkind NOT IN ('r', 'p') THEN format('%s is no table; capture the tables behind it', "table")
    WHEN relation.relispartition THEN format('%s is a partition; capture %s', "table", relation.parent)
    WHEN relation.parent IS NOT NULL THEN format('%s inherits from %s, and triggers do not see rows through a parent', "table", relation.parent)
    WHEN relation.schema IN ('walpost', 'walpost_internal') THEN 'the tables of walpost itself cannot be captured'
    WHEN entity_type IS NULL OR char_length(entity_type) NOT BETWEEN 1 AND 240 THEN 'entity_type must have 1 to 240 characters'
    WHEN char_length(event_prefix) NOT BETWEEN 1 AND 247 THEN 'event_prefix must have 1 to 247 characters, which .created and the like make 255'
    WHEN char_length(target) > 255 THEN 'target must have at most 255 characters'
    WHEN capture_name IS NULL OR capture_name !~ '^([a-z][a-z0-9_]{0,19})?$' THEN 'capture_name must have at most 20 lower case letters, digits and _'
    WHEN char_length(topic) NOT BETWEEN 1 AND 255 THEN 'topic must have 1 to 255 characters'
    WHEN starts_with(event_prefix || '.', 'walpost.') THEN 'event types that begin with "walpost." are reserved for events of walpost itself'
    WHEN starts_with(topic, 'walpost.') THEN 'topics that begin with "walpost." are reserved for events of walpost itself'
    WHEN on_truncate IS NULL OR on_truncate NOT IN ('refuse', 'ignore') THEN 'on_truncate must be refuse or ignore'
    WHEN operations IS NULL OR operations = '{}' OR NOT operations <@ '{insert,update,delete}' THEN 'operations must be some of insert, update, delete'
    WHEN needed[1] IS NULL THEN 'organization_column must not be null'
    WHEN needed[2] IS NULL THEN 'id_column must not be null'
    WHEN array_position(needed, NULL) IS NOT NULL THEN 'columns must not hold a null'
    WHEN EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = "table" AND a.attname = needed[1]
                    AND a.atttypid NOT IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype))
      THEN format('column %I holds no organization: it is neither uuid nor text', needed[1])
  END;
  IF bad IS NULL THEN
    SELECT format('%s has no column %I', "table", n.name) INTO bad
      FROM unnest(needed) AS n (name)
     WHERE NOT EXISTS (SELECT FROM pg_attribute AS a
                        WHERE a.attrelid = "table" AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped)
     LIMIT 1;
  END IF;
  IF bad IS NULL THEN
    SELECT format('column %I has the type %s, and making JSON of it may run code of others', a.attname, format_type(a.atttypid, a.atttypmod))
      INTO bad FROM pg_attribute AS a
     WHERE a.attrelid = "table" AND a.attname = ANY (needed) AND walpost_internal.capture_rendition(a.atttypid) IS NULL
     LIMIT 1;
  END IF;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'walpost.capture: %', bad USING ERRCODE = 'invalid_parameter_value', HINT = 'See docs/sql.md: capture.';
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.refuse_condition(condition text, "table" regclass, needed name[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET check_function_bodies = on
SET client_min_messages = warning
AS $function$
DECLARE
  probe   CONSTANT text := format('walpost_internal.%I', 'condition_of_' || "table"::oid);
  sample  text;
  wrapped text;
  foreign_code text;
BEGIN
  IF condition IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(format('NULL::%s AS %I', CASE walpost_internal.capture_rendition(a.atttypid) WHEN 'text' THEN 'text' WHEN 'array' THEN 'text[]'
                             ELSE format_type((walpost_internal.base_type(a.atttypid)).oid, a.atttypmod) END, a.attname), ', ' ORDER BY a.attnum)
    INTO sample FROM pg_attribute AS a
   WHERE a.attrelid = "table" AND a.attname = ANY (walpost_internal.capture_columns("table", needed, condition));
  BEGIN
    -- One expression parses between parentheses as well as between brackets, and the body of a function is only parsed.
    FOREACH wrapped IN ARRAY ARRAY[format(E'(%s\n)', condition), format(E'(ARRAY[%s\n])[1]', condition)] LOOP
      EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS bigint LANGUAGE sql AS %L', probe,
                     format('SELECT 1::bigint FROM (SELECT %1$s) AS new, (SELECT %1$s) AS old WHERE false AND %2$s', sample, wrapped));
    END LOOP;
    EXECUTE format('DROP FUNCTION %s()', probe);
    EXECUTE format(E'CREATE VIEW %1$s AS SELECT 1 AS one FROM (SELECT %2$s) AS new, (SELECT %2$s) AS old WHERE false AND (%3$s\n)', probe, sample, condition);
  EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'walpost.capture: this is no condition on the rows new and old: %', SQLERRM
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Such as new.status IS DISTINCT FROM old.status; names of functions and types need their schema, and a value of an enum or a range is its text.';
  END;
  foreign_code := walpost_internal.foreign_code(probe::regclass);
  EXECUTE format('DROP VIEW %s', probe);
  IF foreign_code IS NOT NULL THEN
    RAISE EXCEPTION 'walpost.capture: the condition would run code of others with the rights of walpost: %', foreign_code
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Use what comes with the server, or what a superuser or the owner of the schema walpost owns, in a schema where nobody else may create; or keep the answer in a column of the table.';
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RAISE EXCEPTION 'walpost captures deletions from %.%, and TRUNCATE does not tell which rows go', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'DELETE the rows; or truncate without events: walpost.capture(…, on_truncate => ''ignore''), or session_replication_role = replica.';
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.fires_before_capture("table" regclass) RETURNS name
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- Of others, enabled, after each row (bits 1, 2 and 64), on insert or update (4, 16), and not put off until the commit.
  SELECT min(t.tgname) FROM pg_trigger AS t
   WHERE t.tgrelid = fires_before_capture."table" AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND NOT t.tginitdeferred
     AND t.tgtype & 67 = 1 AND t.tgtype & 20 <> 0 AND NOT starts_with(t.tgname::text, '!walpost_capture_');
END;

CREATE OR REPLACE FUNCTION walpost.release(table_name regclass, capture_name text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  found   record;
  removed integer := 0;
BEGIN
  FOR found IN
    SELECT t.tgname FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
     WHERE t.tgrelid = table_name AND NOT t.tgisinternal AND t.tgparentid = 0
       AND p.pronamespace = 'walpost_internal'::regnamespace AND (p.proname LIKE 'capture\_%' OR p.proname = 'refuse_truncate')
       AND (capture_name IS NULL OR t.tgname ~ ('^!walpost_capture_' || nullif(capture_name, '') || '_(insert|update|delete|truncate)$')
            OR capture_name = '' AND t.tgname ~ '^!walpost_capture_(insert|update|delete|truncate)$')
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, table_name);
    removed := removed + 1;
  END LOOP;
  -- Functions of this table, and of tables that were dropped with their triggers.
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc AS p
     WHERE p.pronamespace = 'walpost_internal'::regnamespace AND p.proname LIKE 'capture\_%' AND p.prorettype = 'trigger'::regtype
       AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = p.oid)
  LOOP
    EXECUTE format('DROP FUNCTION %s', found.name);
  END LOOP;
  RETURN removed;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.capture(
  table_name          regclass,
  entity_type         text,
  organization_column name   DEFAULT 'organization_id',
  id_column           name   DEFAULT 'id',
  columns             name[] DEFAULT '{}',
  event_prefix        text   DEFAULT NULL,
  condition           text   DEFAULT NULL,
  topic               text   DEFAULT 'default',
  target              text   DEFAULT NULL,
  operations          text[] DEFAULT '{insert,update,delete}',
  changed_only        boolean DEFAULT false,
  on_truncate         text   DEFAULT 'refuse',
  capture_name        text   DEFAULT ''
) RETURNS regprocedure
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  chosen        CONSTANT name[] := coalesce(columns, '{}');
  wanted        CONSTANT name[] := ARRAY[organization_column, id_column] || chosen;
  prefix        CONSTANT text   := coalesce(event_prefix, entity_type);
  trigger_name  CONSTANT text   := '!walpost_capture_' || coalesce(nullif(capture_name, '') || '_', '');
  options       jsonb;
  function_name text;
  owner         name;
  operation     text;
BEGIN
  PERFORM walpost_internal.refuse_capture(table_name, entity_type, prefix, wanted, topic, operations, on_truncate, target, capture_name);
  PERFORM walpost_internal.refuse_condition(condition, table_name, wanted);
  PERFORM walpost.release(table_name, capture_name);

  options := jsonb_build_object(
    'capture_name', capture_name, 'entity_type', entity_type, 'event_prefix', prefix, 'topic', coalesce(topic, 'default'), 'target', target,
    'organization_column', organization_column, 'id_column', id_column, 'columns', chosen, 'condition', condition,
    'operations', operations, 'changed_only', coalesce(changed_only, false), 'on_truncate', on_truncate,
    'per_row', walpost_internal.fires_before_capture(table_name) IS NOT NULL,
    'needed', (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'number', a.attnum, 'type', a.atttypid::bigint,
                                                   'rendition', walpost_internal.capture_rendition(a.atttypid)) ORDER BY a.attnum)
                 FROM pg_attribute AS a
                WHERE a.attrelid = table_name AND a.attname = ANY (walpost_internal.capture_columns(table_name, wanted, condition))));
  -- A name has 63 bytes, so what tells one from another comes first. The cast to name cuts between two characters.
  SELECT format('walpost_internal.%I', concat_ws('_', 'capture', c.oid, nullif(capture_name, ''), c.relname)::name) INTO function_name
    FROM pg_class AS c WHERE c.oid = table_name;
  EXECUTE walpost_internal.capture_function(function_name, table_name, options);
  SELECT r.rolname INTO owner FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner WHERE n.nspname = 'walpost';

  FOREACH operation IN ARRAY operations LOOP
    EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s EXECUTE FUNCTION %s()', trigger_name || operation, operation, table_name,
      CASE WHEN (options ->> 'per_row')::boolean THEN 'FOR EACH ROW' ELSE format('REFERENCING %s FOR EACH STATEMENT',
        CASE operation WHEN 'insert' THEN 'NEW TABLE AS new_rows' WHEN 'delete' THEN 'OLD TABLE AS old_rows'
                       ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END) END,
      function_name);
  END LOOP;
  IF on_truncate = 'refuse' AND 'delete' = ANY (operations) THEN
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION walpost_internal.refuse_truncate()',
                   trigger_name || 'truncate', table_name);
  END IF;
  IF owner <> current_user THEN
    EXECUTE format('ALTER FUNCTION %s() OWNER TO %I', function_name, owner);
  END IF;
  PERFORM walpost_internal.mend((function_name || '()')::regprocedure); -- default privileges may have given it to somebody
  RETURN (function_name || '()')::regprocedure;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.captures(
  OUT table_name text, OUT capture_name text, OUT options jsonb, OUT problem text
) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  WITH made AS (
    SELECT t.tgrelid::regclass AS relation, (regexp_match(p.prosrc, '-- walpost\.capture (\{[^\n]*\})\n'))[1]::jsonb AS options,
           array_agg(lower(regexp_replace(t.tgname::text, '^.*_', ''))) AS fires,
           min(t.tgname::text) FILTER (WHERE t.tgenabled IN ('D', 'R')) AS disabled
      FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
     WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND p.pronamespace = 'walpost_internal'::regnamespace AND p.proname LIKE 'capture\_%'
     GROUP BY t.tgrelid, p.oid, p.prosrc
  )
  SELECT m.relation::text, m.options ->> 'capture_name', m.options,
         coalesce(
           walpost_internal.capture_problem(m.relation, m.options),
           'its trigger ' || quote_ident(m.disabled) || ' is disabled',
           (SELECT format('its trigger for %s is missing', o.name)
              FROM jsonb_array_elements_text(m.options -> 'operations') AS o (name) WHERE o.name <> ALL (m.fires) LIMIT 1),
           (SELECT format('it is a part of %s now, whose statements are not told', i.inhparent::regclass)
              FROM pg_inherits AS i WHERE i.inhrelid = m.relation LIMIT 1),
           CASE WHEN NOT (m.options ->> 'per_row')::boolean THEN
             'the trigger ' || quote_ident(walpost_internal.fires_before_capture(m.relation)) || ' fires for each row, before the events of a statement are written' END)
    FROM made AS m ORDER BY 1, 2;
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_deviations(OUT what text, OUT statement text) RETURNS SETOF record
LANGUAGE sql STABLE ROWS 10
BEGIN ATOMIC
  -- A trigger function stays as the release made it that capture was called in. Replacing it touches neither table nor triggers. Where a
  -- column has to be taken in another way now, capture must be called again: the condition was made for the old way.
  WITH made AS MATERIALIZED (
    SELECT t.tgrelid::regclass AS relation, p.proname, p.prosrc, (regexp_match(p.prosrc, '-- walpost\.capture (\{[^\n]*\})\n'))[1]::jsonb AS options
      FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
     WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND p.pronamespace = 'walpost_internal'::regnamespace AND p.proname LIKE 'capture\_%'
     GROUP BY t.tgrelid, p.oid
  )
  SELECT format('the trigger function of %s is not as walpost.capture makes it', m.relation),
         walpost_internal.capture_function(format('walpost_internal.%I', m.proname), m.relation, m.options)
    FROM made AS m
   WHERE CASE WHEN jsonb_array_length(m.options -> 'needed') = (
       SELECT count(*) FROM jsonb_to_recordset(m.options -> 'needed') AS n (name name, rendition text)
         JOIN pg_attribute AS a ON a.attrelid = m.relation AND a.attname = n.name AND walpost_internal.capture_rendition(a.atttypid) = n.rendition)
     THEN m.prosrc <> walpost_internal.capture_body(m.relation, m.options) END;
END;

COMMENT ON FUNCTION walpost_internal.refuse_capture(regclass, text, text, name[], text, text[], text, text, text) IS
  'Raises an error when walpost.capture is called wrongly.';
COMMENT ON FUNCTION walpost_internal.refuse_condition(text, regclass, name[]) IS
  'Raises an error unless the text is one condition on the rows new and old that runs no code of others.';
COMMENT ON FUNCTION walpost_internal.refuse_truncate() IS 'Refuses TRUNCATE of a captured table.';
COMMENT ON FUNCTION walpost_internal.fires_before_capture(regclass) IS
  'A trigger of a table that fires for each row, so before the triggers of a statement; null where there is none.';
COMMENT ON FUNCTION walpost_internal.captures() IS 'The captures of all tables, and what keeps one from working as it was made.';
COMMENT ON FUNCTION walpost_internal.capture_deviations() IS
  'Trigger functions of captures that fit their tables and were made in another way than this release makes them.';
COMMENT ON FUNCTION walpost.release(regclass, text) IS
  'Removes what walpost.capture made for a table, or the capture of that name alone, and returns how many triggers that were.';
COMMENT ON FUNCTION walpost.capture(regclass, text, name, name, name[], text, text, text, text, text[], boolean, text, text) IS
  'Makes triggers that write an event for each row that a statement inserts, updates or deletes: <event_prefix>.created, .updated, .deleted, with the id and the named columns. Called again with the same capture_name, it replaces them. The condition is one on the rows new and old.';
