-- Jobs that are over leave too, a month later: they say what was sent again, and why.

INSERT INTO walpost.settings (name, value) VALUES ('job_hours', '720');
COMMENT ON COLUMN walpost.settings.name IS
  'max_payload_bytes: what walpost.publish accepts, 512 to 1048576. idempotency_hours, delivery_log_hours, job_hours: how long keys, results, the log and jobs that are over are kept. alert_…: thresholds of walpost.alerts.';

CREATE FUNCTION walpost.prune_by_age(now timestamptz, batch_size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  removed bigint;
  part    bigint;
BEGIN
  DELETE FROM walpost.idempotency_keys AS k
   WHERE k.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.idempotency_keys AS old
      WHERE old.created_at < now - make_interval(secs => 3600 * walpost.setting('idempotency_hours', 168)::float8)
      ORDER BY old.created_at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := part;

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
  removed := removed + part;

  DELETE FROM walpost.jobs AS j
   WHERE j.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.jobs AS old
      WHERE old.ended_at < now - make_interval(secs => 3600 * walpost.setting('job_hours', 720)::float8)
      ORDER BY old.ended_at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  RETURN removed + part;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.prune(retention interval DEFAULT '72 hours', batch_size integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  scope     CONSTANT text := coalesce(current_setting('walpost.scope', true), '');
  now       CONSTANT timestamptz := clock_timestamp();
  snapshots pg_snapshot[];
  proven    boolean;
  is_read   boolean;
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
  is_read := walpost.outbox_is_read();

  IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = 'walpost.outbox'::regclass AND c.relkind = 'p') THEN
    part := walpost.make_partitions() + CASE WHEN is_read THEN 0 ELSE walpost.drop_partitions(retention) END;
    IF part > 0 THEN
      PERFORM set_config('walpost.scope', scope, true);
      RETURN part; -- soon, because of the locks; the rest comes with the next call
    END IF;
  END IF;

  SELECT array_agg(p.snapshot), coalesce(bool_and(p.snapshot IS NOT NULL), false) INTO snapshots, proven
    FROM walpost.cursor AS c CROSS JOIN LATERAL (SELECT walpost.proven_snapshot(c.slot) AS snapshot) AS p;
  IF proven AND NOT is_read THEN
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

  removed := removed + walpost.prune_by_age(now, batch_size);
  PERFORM set_config('walpost.scope', scope, true);
  RETURN removed;
END;
$function$;

COMMENT ON FUNCTION walpost.prune_by_age(timestamptz, integer) IS
  'The part of walpost.prune that goes by age alone: a batch of old keys, results, log rows and jobs that are over.';
COMMENT ON FUNCTION walpost.prune(interval, integer) IS
  'Removes one batch of proven events older than the retention, and of old keys, results, log rows and jobs that are over; returns how many rows (or daily partitions) that were. 0 means that nothing is left to do, that another session is at it, or that a heal or a replay has still to read the outbox.';
