-- Settings as numbers, for the functions and views behind this file. A setting that is missing has a default.

CREATE OR REPLACE FUNCTION walpost_internal.setting(name text, otherwise numeric) RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce((SELECT s.value::numeric FROM walpost.settings AS s WHERE s.name = setting.name AND s.topic = '*'), setting.otherwise);
END;

CREATE OR REPLACE FUNCTION walpost_internal.max_payload_bytes(topic text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT coalesce(
    (SELECT s.value::integer
       FROM walpost.settings AS s
      WHERE s.name = 'max_payload_bytes' AND s.topic IN (max_payload_bytes.topic, '*')
      ORDER BY s.topic = '*'
      LIMIT 1),
    65536);
END;

CREATE OR REPLACE FUNCTION walpost_internal.topic_payload_bytes(topic text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  -- The limit of every topic protects the outbox from what a program builds; a captured row is in a table already.
  SELECT s.value::integer FROM walpost.settings AS s WHERE s.name = 'max_payload_bytes' AND s.topic = topic_payload_bytes.topic AND s.topic <> '*';
END;

COMMENT ON FUNCTION walpost_internal.setting(text, numeric) IS
  'A number of walpost.settings, or the other one where there is none.';
COMMENT ON FUNCTION walpost_internal.max_payload_bytes(text) IS
  'The largest payload, in bytes of its text, that publish accepts for this topic.';
COMMENT ON FUNCTION walpost_internal.topic_payload_bytes(text) IS
  'The largest payload, in bytes of its text, that was set for this very topic; null where none was. capture keeps to it.';
