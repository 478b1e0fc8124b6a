-- The SQL of a capture trigger, piece by piece. Names are quoted with %I, values with %L.

CREATE OR REPLACE FUNCTION walpost_internal.capture_columns("table" regclass, needed name[], condition text) RETURNS name[]
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- The condition sees what it names; all columns when it takes a row as a whole.
  SELECT array_agg(a.attname ORDER BY a.attnum)
    FROM pg_attribute AS a
   WHERE a.attrelid = capture_columns."table" AND a.attnum > 0 AND NOT a.attisdropped
     AND (a.attname = ANY (capture_columns.needed)
          OR walpost_internal.capture_rendition(a.atttypid) IS NOT NULL
             AND (strpos(lower(capture_columns.condition), lower(a.attname::text)) > 0
                  OR capture_columns.condition ~* '\m(new|old)\M"?\s*(?!\s*\.\s*[^*\s])'));
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_source("table" regclass, needed name[], rows text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- The rows have no other columns: a condition that takes a row as a whole would run casts to the types of those, which nobody checks.
  SELECT format('(SELECT %s FROM %s AS raw)', string_agg(
      CASE c.rendition
        WHEN 'text'  THEN format('CASE WHEN raw.%1$I IS NOT NULL THEN format(''%%s'', raw.%1$I) END AS %1$I', c.attname)
        WHEN 'array' THEN format('CASE WHEN raw.%1$I IS NOT NULL THEN format(''%%s'', raw.%1$I)::text[] END AS %1$I', c.attname)
        ELSE format('raw.%I', c.attname) END, ', ' ORDER BY array_position(capture_source.needed, c.attname)), capture_source.rows)
    FROM (SELECT a.attname, walpost_internal.capture_rendition(a.atttypid) AS rendition FROM pg_attribute AS a
           WHERE a.attrelid = capture_source."table" AND a.attname = ANY (capture_source.needed)) AS c;
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_id("table" regclass, id_column name, it text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT CASE walpost_internal.capture_rendition(a.atttypid)
           WHEN 'trusted' THEN format('CASE WHEN %1$s.%2$I IS NOT NULL THEN format(''%%s'', %1$s.%2$I) END', capture_id.it, a.attname)
           ELSE format('%s.%I::text', capture_id.it, a.attname) END
    FROM pg_attribute AS a WHERE a.attrelid = capture_id."table" AND a.attname = capture_id.id_column;
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_check(needed jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  -- One look at the catalog finds that all is as it was. Fields of a composite change without a trace in the table.
  SELECT format(
      E'  SELECT count(*) INTO walpost_known FROM pg_attribute AS a\n'
      '   WHERE a.attrelid = TG_RELID AND NOT a.attisdropped AND (%s);\n'
      '  IF walpost_known <> %s THEN\n'
      '    PERFORM walpost_internal.raise_capture_problem(TG_RELID, walpost_internal.capture_problem(TG_RELID, walpost_options));\n  END IF;\n',
      string_agg(CASE WHEN n.rendition = 'system' THEN format('a.attname = %L AND a.atttypid = %s', n.name, n.type)
                      ELSE format('a.attname = %L', n.name) END, ' OR '),
      CASE WHEN bool_or(n.rendition = 'trusted') THEN -1 ELSE count(*) END)
    FROM jsonb_to_recordset(capture_check.needed) AS n (name name, type oid, rendition text);
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_value("table" regclass, column_name name, it text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT format(CASE WHEN walpost_internal.holds_json(a.atttypid) THEN 'walpost_internal.captured_json(to_json(%s.%I))' ELSE '%s.%I' END,
                capture_value.it, a.attname)
    FROM pg_attribute AS a WHERE a.attrelid = capture_value."table" AND a.attname = capture_value.column_name AND NOT a.attisdropped;
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_pairs(new_source text, old_source text) RETURNS text
LANGUAGE sql IMMUTABLE
-- The server adds the old and the new row of one change to the two transition tables in one step, so rows pair by their place.
-- A key could be changed by the very statement, or be none.
RETURN format(
  E'(SELECT row_number() OVER () AS place, walpost_row AS it FROM %s AS walpost_row) AS walpost_new\n'
  '      JOIN (SELECT row_number() OVER () AS place, walpost_row AS it FROM %s AS walpost_row) AS walpost_old ON walpost_old.place = walpost_new.place\n'
  '      CROSS JOIN LATERAL (SELECT (walpost_new.it).*) AS new CROSS JOIN LATERAL (SELECT (walpost_old.it).*) AS old', new_source, old_source);

CREATE OR REPLACE FUNCTION walpost_internal.capture_payload("table" regclass, it text, id_column name, columns name[], sparse boolean) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- A call takes 100 arguments, so that many columns become several objects.
  SELECT CASE
      WHEN capture_payload.sparse THEN
        -- Under another id nothing has been told yet. Only a column keeps its domain, and records of a domain and of its base type do not compare.
        format('jsonb_build_object(%L, %s)', capture_payload.id_column,
               walpost_internal.capture_value(capture_payload."table", capture_payload.id_column, capture_payload.it)) ||
        coalesce(string_agg(format(' || CASE WHEN CASE WHEN ROW(new.%2$I)::record *= ROW(old.%2$I)::record THEN ROW(new.%1$I)::record *<> ROW(old.%1$I)::record ELSE num_nonnulls(new.%1$I) = 1 END THEN jsonb_build_object(%1$L, %3$s) ELSE ''{}'' END',
                                   c.name, capture_payload.id_column, walpost_internal.capture_value(capture_payload."table", c.name, 'new')), '' ORDER BY c.n)
          FILTER (WHERE c.name <> capture_payload.id_column), '')
      ELSE (
        SELECT string_agg(part.object, ' || ' ORDER BY part.number)
          FROM (SELECT (d.n - 1) / 50 AS number,
                       'jsonb_build_object(' || string_agg(format('%L, %s', d.name, walpost_internal.capture_value(capture_payload."table", d.name, capture_payload.it)), ', ' ORDER BY d.n) || ')' AS object
                  FROM (SELECT row_number() OVER (ORDER BY min(e.n)) AS n, e.name
                          FROM unnest(capture_payload.id_column || capture_payload.columns) WITH ORDINALITY AS e (name, n)
                         GROUP BY e.name) AS d
                 GROUP BY (d.n - 1) / 50) AS part)
    END
    FROM unnest(capture_payload.id_column || capture_payload.columns) WITH ORDINALITY AS c (name, n);
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_filter(columns name[], condition text, sparse boolean) RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  SELECT coalesce(E'\n     WHERE ' || nullif(concat_ws(' AND ',
      '(' || capture_filter.condition || E'\n)',
      CASE WHEN capture_filter.sparse THEN
        format('ROW(%s)::record *<> ROW(%s)::record', string_agg(format('new.%I', c.name), ', ' ORDER BY c.n), string_agg(format('old.%I', c.name), ', ' ORDER BY c.n))
      END), ''), '')
    FROM unnest(capture_filter.columns) WITH ORDINALITY AS c (name, n);
END;

CREATE OR REPLACE FUNCTION walpost_internal.capture_events("table" regclass, operation text, options jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  condition CONSTANT text    := options ->> 'condition';
  id_column CONSTANT name    := options ->> 'id_column';
  columns   CONSTANT name[]  := ARRAY(SELECT c.name::name FROM jsonb_array_elements_text(options -> 'columns') WITH ORDINALITY AS c (name, n) ORDER BY c.n);
  needed    CONSTANT name[]  := ARRAY(SELECT n.name FROM jsonb_to_recordset(options -> 'needed') AS n (name name));
  per_row   CONSTANT boolean := (options ->> 'per_row')::boolean;
  sparse    CONSTANT boolean := (options ->> 'changed_only')::boolean AND columns <> '{}' AND operation = 'update';
  it        CONSTANT text    := CASE operation WHEN 'delete' THEN 'old' ELSE 'new' END;
  new_rows  CONSTANT text    := walpost_internal.capture_source("table", needed, CASE WHEN per_row THEN '(SELECT NEW.*)' ELSE 'new_rows' END);
  old_rows  CONSTANT text    := walpost_internal.capture_source("table", needed, CASE WHEN per_row THEN '(SELECT OLD.*)' ELSE 'old_rows' END);
  its_rows  CONSTANT text    := CASE it WHEN 'old' THEN old_rows ELSE new_rows END;
  source    text := format('%s AS %s', its_rows, it);
  is_paired boolean := false;
BEGIN
  -- A condition may name both rows; the one that an insert or a delete does not have is all null.
  IF operation = 'insert' AND condition ~* '\mold\M' OR operation = 'delete' AND condition ~* '\mnew\M' THEN
    source := source || format(' LEFT JOIN (SELECT * FROM %s AS walpost_none WHERE false) AS %s ON true', its_rows, CASE it WHEN 'old' THEN 'new' ELSE 'old' END);
  ELSIF operation = 'update' AND (sparse OR condition ~* '\mold\M') THEN
    is_paired := NOT per_row;
    source := CASE WHEN per_row THEN format('%s AS new CROSS JOIN %s AS old', new_rows, old_rows)
                   ELSE walpost_internal.capture_pairs(new_rows, old_rows) END;
  END IF;
  RETURN format(
    E'SELECT %s.%I::uuid AS organization_id, %s AS entity_id,\n           %s AS payload\n      FROM %s%s%s',
    it, options ->> 'organization_column', walpost_internal.capture_id("table", id_column, it),
    walpost_internal.capture_payload("table", it, id_column, columns, sparse), source,
    walpost_internal.capture_filter(id_column || columns, condition, sparse),
    CASE WHEN is_paired THEN E'\n     ORDER BY walpost_new.place' ELSE '' END);
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.capture_body("table" regclass, options jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  per_row   CONSTANT boolean := (options ->> 'per_row')::boolean;
  body      text := '';
  events    text;
  fault     text;
  added     text;
  operation text;
BEGIN
  FOREACH operation IN ARRAY '{insert,update,delete}'::text[] LOOP
    CONTINUE WHEN NOT options -> 'operations' ? operation;
    events := walpost_internal.capture_events("table", operation, options);
    body := body || format(E'  IF TG_OP = %L THEN\n', upper(operation));
    IF NOT per_row AND operation = 'update' THEN
      body := body || E'    SELECT (SELECT count(*) FROM new_rows), (SELECT count(*) FROM old_rows) INTO walpost_count, walpost_known;\n'
        '    IF walpost_count <> walpost_known THEN\n'
        '      PERFORM walpost_internal.raise_capture_problem(TG_RELID, ''a trigger has left out rows that this statement moves to another partition'');\n    END IF;\n';
    END IF;
    fault := format(E'SELECT f.fault FROM (\n'
                    '    SELECT coalesce(walpost_internal.captured_fault(e.organization_id, e.entity_id, e.payload),\n'
                    '                    CASE WHEN (SELECT walpost_internal.topic_payload_bytes(%1$L)) IS NOT NULL THEN\n'
                    '                      walpost_internal.captured_size_fault(e.payload, %1$L, (SELECT walpost_internal.topic_payload_bytes(%1$L))) END) AS fault\n'
                    '      FROM (\n    %2$s) AS e) AS f\n     WHERE f.fault IS NOT NULL LIMIT 1', options ->> 'topic', events);
    added := format(
      E'INSERT INTO walpost.outbox (organization_id, event_type, topic, entity_type, entity_id, target, payload, headers)\n'
      '    SELECT e.organization_id, %L, %L, %L, e.entity_id, %L, e.payload, (SELECT walpost_internal.with_trace(''{}'')) FROM (\n    %s) AS e',
      (options ->> 'event_prefix') || CASE operation WHEN 'insert' THEN '.created' WHEN 'update' THEN '.updated' ELSE '.deleted' END,
      options ->> 'topic', options ->> 'entity_type', options ->> 'target', events);
    -- The plan of a join is kept from the first statement of a session, and one for few rows takes hours for many.
    IF strpos(events, 'walpost_old.place') > 0 THEN
      fault := format(E'    IF walpost_count > 100 THEN\n      EXECUTE %L INTO walpost_fault;\n    ELSE\n      walpost_fault := (%s);\n    END IF;\n', fault, fault);
      added := format(E'    IF walpost_count > 100 THEN\n      EXECUTE %L;\n    ELSE\n      %s;\n    END IF;\n', added, added);
    ELSE
      fault := format(E'      walpost_fault := (%s);\n', fault);
      added := format(E'    %s;\n', added);
    END IF;
    -- The first query finds what would fail. It writes nothing, so its subtransaction spends no transaction id.
    body := body || E'    BEGIN\n' || fault ||
      E'    EXCEPTION WHEN OTHERS THEN\n'
      '      PERFORM walpost_internal.raise_capture_problem(TG_RELID, ''cannot make its events: '' || SQLERRM, SQLSTATE);\n    END;\n'
      '    IF walpost_fault IS NOT NULL THEN\n'
      '      PERFORM walpost_internal.raise_capture_problem(TG_RELID, walpost_fault, ''23514'');\n    END IF;\n' || added || E'  END IF;\n';
  END LOOP;
  RETURN format(E'#variable_conflict use_column\n-- walpost.capture %s\nDECLARE\n  walpost_options CONSTANT jsonb := %L;\n'
                '  walpost_known bigint;\n  walpost_count bigint;\n  walpost_fault text;\nBEGIN\n', options, options)
    || walpost_internal.capture_check(options -> 'needed') || body || E'  RETURN NULL;\nEND';
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.capture_function(function_name text, "table" regclass, options jsonb) RETURNS text
LANGUAGE sql STABLE
RETURN format(
  'CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
  'SET search_path = pg_catalog, pg_temp AS %2$L; COMMENT ON FUNCTION %1$s() IS %3$L',
  function_name, walpost_internal.capture_body("table", options),
  format('Events of %s; made by walpost.capture, removed by walpost.release.', "table"));

COMMENT ON FUNCTION walpost_internal.capture_columns(regclass, name[], text) IS 'The columns that a capture trigger reads.';
COMMENT ON FUNCTION walpost_internal.capture_source(regclass, name[], text) IS
  'The rows of a statement: the columns that are needed and no other, with their values in the rendition of capture.';
COMMENT ON FUNCTION walpost_internal.capture_id(regclass, name, text) IS 'The expression of entity_id.';
COMMENT ON FUNCTION walpost_internal.capture_check(jsonb) IS
  'The statements by which a capture trigger makes sure that the columns are what they were.';
COMMENT ON FUNCTION walpost_internal.capture_value(regclass, name, text) IS 'The expression of one value of the payload.';
COMMENT ON FUNCTION walpost_internal.capture_pairs(text, text) IS
  'The FROM clause of an update: each new row beside the old row that it replaces.';
COMMENT ON FUNCTION walpost_internal.capture_payload(regclass, text, name, name[], boolean) IS 'The expression of the payload.';
COMMENT ON FUNCTION walpost_internal.capture_filter(name[], text, boolean) IS 'The WHERE clause.';
COMMENT ON FUNCTION walpost_internal.capture_events(regclass, text, jsonb) IS 'The query that makes the events of one operation.';
COMMENT ON FUNCTION walpost_internal.capture_body(regclass, jsonb) IS 'The body of the trigger function of a table.';
COMMENT ON FUNCTION walpost_internal.capture_function(text, regclass, jsonb) IS
  'The statement that makes the trigger function of a table.';
