-- Events from a business table by triggers: capture makes them, release removes them.
--
-- The triggers fire once a statement and read its transition tables, so that an update of 100,000 rows is one INSERT. Their
-- function is written for the table: columns and condition stand in it as SQL, quoted with %I and %L. Only the condition is
-- taken as it is, because it is SQL; whoever may call capture owns this schema and could do anything anyway. It is still
-- held to be one expression: it must parse between parentheses as well as between brackets, and as part of a cursor's query,
-- which can be no more than one.
--
-- The function belongs to the owner of this schema and runs with the owner's rights for all organizations, because a
-- statement may touch rows of many, and because who writes the business table need not be allowed to write the outbox.

CREATE FUNCTION walpost.capture(
  "table"             regclass,
  entity_type         text,
  organization_column name   DEFAULT 'organization_id',
  id_column           name   DEFAULT 'id',
  columns             name[] DEFAULT '{}',
  event_prefix        text   DEFAULT NULL,
  "when"              text   DEFAULT NULL,
  topic               text   DEFAULT 'default',
  target              text   DEFAULT NULL,
  operations          text[] DEFAULT '{insert,update,delete}',
  changed_only        boolean DEFAULT false,
  on_truncate         text   DEFAULT 'refuse'
) RETURNS regprocedure
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  function_name text;
  owner         name;
  operation     text;
BEGIN
  PERFORM walpost.refuse_capture("table", entity_type, ARRAY[organization_column, id_column] || columns, topic, operations, on_truncate);
  PERFORM walpost.release("table");

  SELECT format('walpost.%I', left('capture_' || c.relname, 50) || '_' || c.oid) INTO function_name
    FROM pg_class AS c WHERE c.oid = "table";
  EXECUTE walpost.capture_function(
    function_name, "table", organization_column, id_column, columns,
    jsonb_build_object('prefix', coalesce(event_prefix, entity_type), 'entity_type', entity_type, 'topic', coalesce(topic, 'default'),
                       'target', target, 'when', "when", 'changed_only', coalesce(changed_only, false)));
  EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', function_name);
  SELECT r.rolname INTO owner FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner WHERE n.nspname = 'walpost';

  FOREACH operation IN ARRAY operations LOOP
    EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT EXECUTE FUNCTION %s()',
      'walpost_capture_' || operation, operation, "table",
      CASE operation WHEN 'insert' THEN 'NEW TABLE AS new_rows' WHEN 'delete' THEN 'OLD TABLE AS old_rows'
                     ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END,
      function_name);
  END LOOP;
  IF on_truncate = 'refuse' AND 'delete' = ANY (operations) THEN
    EXECUTE format('CREATE TRIGGER walpost_capture_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION walpost.refuse_truncate()', "table");
  END IF;
  IF owner <> current_user THEN
    EXECUTE format('ALTER FUNCTION %s() OWNER TO %I', function_name, owner);
  END IF;
  RETURN (function_name || '()')::regprocedure;
END;
$function$;

CREATE FUNCTION walpost.release("table" regclass) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  found   record;
  removed integer := 0;
BEGIN
  FOR found IN
    SELECT t.tgname FROM pg_trigger AS t
     WHERE t.tgrelid = "table" AND NOT t.tgisinternal
       AND t.tgname IN ('walpost_capture_insert', 'walpost_capture_update', 'walpost_capture_delete', 'walpost_capture_truncate')
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, "table");
    removed := removed + 1;
  END LOOP;
  -- Functions of this table, and of tables that were dropped with their triggers.
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc AS p
     WHERE p.pronamespace = 'walpost'::regnamespace AND p.proname LIKE 'capture\_%' AND p.prorettype = 'trigger'::regtype
       AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = p.oid)
  LOOP
    EXECUTE format('DROP FUNCTION %s', found.name);
  END LOOP;
  RETURN removed;
END;
$function$;

CREATE FUNCTION walpost.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RAISE EXCEPTION 'walpost captures deletions from %.%, and TRUNCATE does not tell which rows go', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'DELETE the rows; or truncate without events: walpost.capture(…, on_truncate => ''ignore''), or session_replication_role = replica.';
END;
$function$;

CREATE FUNCTION walpost.refuse_capture(
  "table" regclass, entity_type text, needed name[], topic text, operations text[], on_truncate text
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
    WHEN relation IS NULL THEN 'there is no such table'
    WHEN relation.relkind NOT IN ('r', 'p') THEN format('%s is no table; capture the tables behind it', "table")
    WHEN relation.relispartition THEN format('%s is a partition; capture %s', "table", relation.parent)
    WHEN relation.parent IS NOT NULL THEN format('%s inherits from %s, and triggers do not see rows through a parent', "table", relation.parent)
    WHEN relation.schema = 'walpost' THEN 'the tables of walpost itself cannot be captured'
    WHEN entity_type IS NULL OR char_length(entity_type) NOT BETWEEN 1 AND 240 THEN 'entity_type must have 1 to 240 characters'
    WHEN char_length(topic) NOT BETWEEN 1 AND 255 THEN 'topic must have 1 to 255 characters'
    WHEN on_truncate IS NULL OR on_truncate NOT IN ('refuse', 'ignore') THEN 'on_truncate must be refuse or ignore'
    WHEN operations IS NULL OR operations = '{}' OR NOT operations <@ '{insert,update,delete}' THEN 'operations must be some of insert, update, delete'
    WHEN array_position(needed, NULL) IS NOT NULL THEN 'a column''s name is null'
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
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'walpost.capture: %', bad USING ERRCODE = 'invalid_parameter_value', HINT = 'See docs/sql.md: capture.';
  END IF;
END;
$function$;

CREATE FUNCTION walpost.capture_function(
  function_name text, "table" regclass, organization_column name, id_column name, columns name[], options jsonb
) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  condition CONSTANT text    := options ->> 'when';
  sparse    CONSTANT boolean := (options ->> 'changed_only')::boolean AND columns <> '{}';
  cast_to   CONSTANT text    := (SELECT CASE WHEN a.atttypid = 'uuid'::regtype THEN '' ELSE '::uuid' END
                                   FROM pg_attribute AS a WHERE a.attrelid = "table" AND a.attname = organization_column);
  body      text := '';
  operation text;
  it        text;
  source    text;
BEGIN
  PERFORM walpost.refuse_condition(condition, "table");
  FOREACH operation IN ARRAY '{insert,update,delete}'::text[] LOOP
    it := CASE operation WHEN 'delete' THEN 'old' ELSE 'new' END;
    -- A condition may name both rows; the one that an insert or a delete does not have is all null.
    source := CASE
      WHEN operation = 'insert' AND condition ~* '\mold\M' THEN format('new_rows AS new CROSS JOIN (SELECT (NULL::%s).*) AS old', "table")
      WHEN operation = 'delete' AND condition ~* '\mnew\M' THEN format('old_rows AS old CROSS JOIN (SELECT (NULL::%s).*) AS new', "table")
      WHEN operation = 'update' AND (sparse OR condition ~* '\mold\M')
        THEN format('new_rows AS new LEFT JOIN old_rows AS old ON old.%1$I = new.%1$I', id_column)
      ELSE format('%1$s_rows AS %1$s', it)
    END;
    body := body || format(
      E'  %s TG_OP = %L THEN\n'
      '    INSERT INTO walpost.outbox (organization_id, event_type, topic, entity_type, entity_id, target, payload, headers)\n'
      '    SELECT %s, %L, %L, %L, %s, %L,\n           %s,\n           (SELECT walpost.with_trace(''{}''))\n      FROM %s%s;\n',
      CASE operation WHEN 'insert' THEN 'IF' ELSE 'ELSIF' END, upper(operation),
      format('%s.%I%s', it, organization_column, cast_to),
      (options ->> 'prefix') || CASE operation WHEN 'insert' THEN '.created' WHEN 'update' THEN '.updated' ELSE '.deleted' END,
      options ->> 'topic', options ->> 'entity_type', format('%s.%I::text', it, id_column), options ->> 'target',
      walpost.capture_payload(it, id_column, columns, sparse AND operation = 'update'), source,
      walpost.capture_filter(columns, condition, sparse AND operation = 'update'));
  END LOOP;
  RETURN format(
    'CREATE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
    'SET search_path = pg_catalog, pg_temp AS %2$L; COMMENT ON FUNCTION %1$s() IS %3$L',
    function_name,
    E'#variable_conflict use_column\nDECLARE\n  walpost_scope CONSTANT text := coalesce(current_setting(''walpost.scope'', true), '''');\n'
    'BEGIN\n  PERFORM set_config(''walpost.scope'', ''all'', true);\n' || body ||
    E'  END IF;\n  PERFORM set_config(''walpost.scope'', walpost_scope, true);\n  RETURN NULL;\nEND',
    format('Events of %s; made by walpost.capture, removed by walpost.release.', "table"));
END;
$function$;

CREATE FUNCTION walpost.capture_payload(it text, id_column name, columns name[], sparse boolean) RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  -- A call takes 100 arguments, so that many columns become several objects.
  SELECT CASE
      WHEN capture_payload.sparse THEN
        format('jsonb_build_object(%L, %s.%I)', capture_payload.id_column, capture_payload.it, capture_payload.id_column) ||
        coalesce(string_agg(format(' || CASE WHEN ROW(new.%1$I)::record *<> ROW(old.%1$I)::record THEN jsonb_build_object(%1$L, new.%1$I) ELSE ''{}'' END', c.name), '' ORDER BY c.n)
          FILTER (WHERE c.name <> capture_payload.id_column), '')
      ELSE (
        SELECT string_agg(part.object, ' || ' ORDER BY part.number)
          FROM (SELECT (d.n - 1) / 50 AS number,
                       'jsonb_build_object(' || string_agg(format('%L, %s.%I', d.name, capture_payload.it, d.name), ', ' ORDER BY d.n) || ')' AS object
                  FROM (SELECT row_number() OVER (ORDER BY min(e.n)) AS n, e.name
                          FROM unnest(capture_payload.id_column || capture_payload.columns) WITH ORDINALITY AS e (name, n)
                         GROUP BY e.name) AS d
                 GROUP BY (d.n - 1) / 50) AS part)
    END
    FROM unnest(capture_payload.id_column || capture_payload.columns) WITH ORDINALITY AS c (name, n);
END;

CREATE FUNCTION walpost.capture_filter(columns name[], condition text, sparse boolean) RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  SELECT coalesce(E'\n     WHERE ' || nullif(concat_ws(' AND ',
      '(' || capture_filter.condition || E'\n)',
      CASE WHEN capture_filter.sparse THEN
        format('ROW(%s)::record *<> ROW(%s)::record', string_agg(format('new.%I', c.name), ', ' ORDER BY c.n), string_agg(format('old.%I', c.name), ', ' ORDER BY c.n))
      END), ''), '')
    FROM unnest(capture_filter.columns) WITH ORDINALITY AS c (name, n);
END;

CREATE FUNCTION walpost.refuse_condition(condition text, "table" regclass) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  wrapped text;
  probe   refcursor;
BEGIN
  IF condition IS NULL THEN
    RETURN;
  END IF;
  FOREACH wrapped IN ARRAY ARRAY['(%1$s' || E'\n)', '(ARRAY[%1$s' || E'\n])[1]'] LOOP
    OPEN probe FOR EXECUTE format('SELECT FROM %2$s AS new, %2$s AS old WHERE false AND ' || wrapped, condition, "table");
    CLOSE probe;
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  RAISE EXCEPTION 'walpost.capture: "when" is no condition on the rows new and old: %', SQLERRM
    USING ERRCODE = 'invalid_parameter_value',
          HINT = 'Such as new.status IS DISTINCT FROM old.status; names of functions and types need their schema.';
END;
$function$;

COMMENT ON FUNCTION walpost.capture(regclass, text, name, name, name[], text, text, text, text, text[], boolean, text) IS
  'Makes triggers that write an event for each row that a statement inserts, updates or deletes: <event_prefix>.created, .updated, .deleted, with the id and the named columns. Called again, it replaces them. "when" is SQL and is trusted.';
COMMENT ON FUNCTION walpost.release(regclass) IS 'Removes what walpost.capture made for a table, and returns how many triggers that were.';
COMMENT ON FUNCTION walpost.refuse_truncate() IS 'Refuses TRUNCATE of a captured table.';
COMMENT ON FUNCTION walpost.refuse_capture(regclass, text, name[], text, text[], text) IS 'Raises an error when walpost.capture is called wrongly.';
COMMENT ON FUNCTION walpost.capture_function(text, regclass, name, name, name[], jsonb) IS 'The statement that makes the trigger function of a table.';
COMMENT ON FUNCTION walpost.capture_payload(text, name, name[], boolean) IS 'The expression of the payload.';
COMMENT ON FUNCTION walpost.capture_filter(name[], text, boolean) IS 'The WHERE clause.';
COMMENT ON FUNCTION walpost.refuse_condition(text, regclass) IS 'Raises an error unless the text is one condition on the rows new and old.';
