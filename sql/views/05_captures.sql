-- What walpost.capture has made.

CREATE OR REPLACE VIEW walpost.captures WITH (security_invoker = true) AS
SELECT c.table_name, c.capture_name, c.options ->> 'entity_type' AS entity_type, c.options ->> 'event_prefix' AS event_prefix,
       ARRAY(SELECT jsonb_array_elements_text(c.options -> 'operations')) AS operations,
       c.options ->> 'organization_column' AS organization_column, c.options ->> 'id_column' AS id_column,
       ARRAY(SELECT jsonb_array_elements_text(c.options -> 'columns')) AS columns, c.options ->> 'condition' AS condition,
       c.options ->> 'topic' AS topic, c.options ->> 'target' AS target, (c.options ->> 'changed_only')::boolean AS changed_only,
       c.options ->> 'on_truncate' AS on_truncate, (c.options ->> 'per_row')::boolean AS per_row,
       c.problem IS NULL AS fits, c.problem
  FROM walpost_internal.captures() AS c;

COMMENT ON VIEW walpost.captures IS
  'The tables that walpost.capture writes events of, one row a capture. fits: it works as it was made; problem says why not, and walpost.capture called again mends it.';
