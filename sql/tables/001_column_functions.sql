-- Functions that defaults and indexes of the tables call. They are part of the tables, so they are numbered with them: an index
-- would be wrong after a change of the function that it calls.
--
-- uuid_v7 makes ids that sort by time, so that the primary key's index grows at one end. PostgreSQL 18 has uuidv7(); this gives
-- the same form on 15 to 17 too.

CREATE FUNCTION walpost.uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
-- 48 bits of milliseconds and 12 bits of their fraction (x * 4096 / 1000 = x * 512 / 125), the version between them,
-- then the second half of a random uuid with its variant.
RETURN (
  overlay(
    lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 512 / 125), 15, '0')
    PLACING '7' FROM 13 FOR 0
  ) || right(replace(gen_random_uuid()::text, '-', ''), 16)
)::uuid;

CREATE FUNCTION walpost_internal.uuid_or_null(id text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN id::uuid END;

COMMENT ON FUNCTION walpost.uuid_v7() IS 'A time-ordered uuid (RFC 9562, version 7) with a clock of a quarter microsecond.';
COMMENT ON FUNCTION walpost_internal.uuid_or_null(text) IS 'The text as uuid; null when it is none.';
