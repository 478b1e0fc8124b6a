-- Settings that functions inside the database need; everything else is in walpost.yaml.

CREATE TABLE walpost.settings (
  name  text  NOT NULL,
  topic text  NOT NULL DEFAULT '*',
  value jsonb NOT NULL,

  CONSTRAINT settings_pkey PRIMARY KEY (name, topic),
  CONSTRAINT settings_max_payload_bytes CHECK (
    name <> 'max_payload_bytes'
    OR CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric BETWEEN 1 AND 1048576 ELSE false END
  )
);

COMMENT ON TABLE walpost.settings IS 'Settings of the functions in this schema, for all topics or for one.';
COMMENT ON COLUMN walpost.settings.name IS 'max_payload_bytes: what walpost.publish accepts, up to 1048576.';
COMMENT ON COLUMN walpost.settings.topic IS 'The topic that it is for; * for every topic without a row of its own.';
COMMENT ON COLUMN walpost.settings.value IS 'The value.';

INSERT INTO walpost.settings (name, topic, value) VALUES ('max_payload_bytes', '*', '65536');

CREATE FUNCTION walpost.max_payload_bytes(topic text) RETURNS integer
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

COMMENT ON FUNCTION walpost.max_payload_bytes(text) IS 'The largest payload, in bytes of its text, that publish accepts for this topic.';
