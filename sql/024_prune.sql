-- Growth: what is delivered and old leaves, in small batches.
--
-- Only proven rows leave (010_checkpoints.sql): those that the last settled checkpoint of every slot sees. The outbox is
-- walked from its old end, and never further than two batches, so that rows which must stay cost little.

ALTER TABLE walpost.settings ADD CONSTRAINT settings_number CHECK (
  name NOT LIKE '%\_hours' AND name NOT LIKE 'alert\_%'
  OR CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric >= 0 ELSE false END
) NOT VALID;

INSERT INTO walpost.settings (name, value) VALUES ('idempotency_hours', '168'), ('delivery_log_hours', '168');
COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. idempotency_hours, delivery_log_hours: how long keys, results and the log are kept. alert_…: thresholds of walpost.alerts.';

CREATE FUNCTION walpost.setting(name text, otherwise numeric) RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce((SELECT s.value::numeric FROM walpost.settings AS s WHERE s.name = setting.name AND s.topic = '*'), setting.otherwise);
END;

CREATE FUNCTION walpost.prune(retention interval DEFAULT '72 hours', batch_size integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  scope     CONSTANT text := coalesce(current_setting('walpost.scope', true), '');
  now       CONSTANT timestamptz := clock_timestamp();
  snapshots pg_snapshot[];
  proven    boolean;
  horizon   xid8;
  removed   bigint := 0;
  part      bigint;
BEGIN
  IF retention IS NULL OR retention < interval '0' OR batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100000 THEN
    RAISE EXCEPTION 'walpost.prune: retention must not be negative, and batch_size must be 1 to 100000'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Such as walpost.prune(''72 hours'', 5000).';
  END IF;
  IF NOT pg_try_advisory_xact_lock('walpost'::regnamespace::oid::bigint::integer, 1) THEN
    RETURN 0;
  END IF;
  PERFORM set_config('walpost.scope', 'all', true); -- row-level security must hide nothing from it

  IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = 'walpost.outbox'::regclass AND c.relkind = 'p') THEN
    part := walpost.make_partitions() + walpost.drop_partitions(retention);
    IF part > 0 THEN
      PERFORM set_config('walpost.scope', scope, true);
      RETURN part; -- soon, because of the locks; the rest comes with the next call
    END IF;
  END IF;

  SELECT array_agg(p.snapshot), coalesce(bool_and(p.snapshot IS NOT NULL), false) INTO snapshots, proven
    FROM walpost.cursor AS c CROSS JOIN LATERAL (SELECT walpost.proven_snapshot(c.slot) AS snapshot) AS p;
  IF proven THEN
    SELECT pg_snapshot_xmax(s) INTO horizon FROM unnest(snapshots) AS s ORDER BY pg_snapshot_xmax(s) LIMIT 1;
    DELETE FROM walpost.outbox AS o
     USING (SELECT first.event_id, first.created_at
              FROM (SELECT f.event_id, f.created_at, f.created_xid FROM walpost.outbox AS f
                     WHERE f.created_xid < horizon ORDER BY f.created_xid, f.seq LIMIT 2 * batch_size) AS first
             WHERE first.created_at < now - retention
               AND (SELECT bool_and(pg_visible_in_snapshot(first.created_xid, s)) FROM unnest(snapshots) AS s)
             LIMIT batch_size) AS old
     WHERE o.event_id = old.event_id AND o.created_at = old.created_at;
    GET DIAGNOSTICS removed = ROW_COUNT;
  END IF;

  DELETE FROM walpost.idempotency_keys AS k
   WHERE k.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.idempotency_keys AS old
      WHERE old.created_at < now - make_interval(secs => 3600 * walpost.setting('idempotency_hours', 168)::float8)
      ORDER BY old.created_at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.command_results AS r
   WHERE r.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.command_results AS old
      WHERE old.created_at < now - make_interval(secs => 3600 * walpost.setting('idempotency_hours', 168)::float8)
      ORDER BY old.created_at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.delivery_log AS l
   WHERE l.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.delivery_log AS old
      WHERE old.at < now - make_interval(secs => 3600 * walpost.setting('delivery_log_hours', 168)::float8)
      ORDER BY old.at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  PERFORM set_config('walpost.scope', scope, true);
  RETURN removed + part;
END;
$function$;

COMMENT ON FUNCTION walpost.setting(text, numeric) IS 'A number of walpost.settings, or the other one where there is none.';
COMMENT ON FUNCTION walpost.prune(interval, integer) IS
  'Removes one batch of proven events older than the retention, and of old keys, results and log rows; returns how many rows (or daily partitions) that were. 0 means that nothing is left to do, or that another session is at it.';
