-- Rows that a heal or a replay has still to read stay, however old they are.
--
-- What such a job needs is proven, so age alone would take it: a replay of yesterday that is sent slowly, or waits behind
-- another, would come to an end with nothing wrong to be seen and less than was asked for. The outbox is left alone until
-- the job is over; a job that is of no use any more can be cancelled (walpost jobs cancel).

CREATE FUNCTION walpost.outbox_is_read() RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT EXISTS (SELECT FROM walpost.jobs AS j WHERE j.state IN ('queued', 'running') AND j.kind IN ('heal', 'replay'));
END;

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

-- Between the plan of a replay and the asking for it rows may have left, and with them the checkpoint that it begins at.
-- Who prunes holds the lock until it has committed, so the checkpoint is looked for after that, and the next prune sees the job.
CREATE FUNCTION walpost.check_replay() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM pg_advisory_xact_lock_shared('walpost'::regnamespace::oid::bigint::integer, 1);
  IF NOT EXISTS (SELECT FROM walpost.checkpoints AS c
                  WHERE c.slot = NEW.slot AND c.snapshot::text = NEW.after_snapshot::text) THEN
    RAISE EXCEPTION 'walpost: the checkpoint that this replay begins at is not there any more'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Ask for the replay again: what can be replayed begins later now.';
  END IF;
  RETURN NEW;
END;
$function$;

CREATE TRIGGER jobs_check_replay BEFORE INSERT ON walpost.jobs
  FOR EACH ROW WHEN (NEW.kind = 'replay' AND NEW.after_snapshot IS NOT NULL) EXECUTE FUNCTION walpost.check_replay();

COMMENT ON FUNCTION walpost.outbox_is_read() IS 'Whether a heal or a replay is queued or running: then no row may leave the outbox.';
COMMENT ON FUNCTION walpost.check_replay() IS 'Refuses a replay whose rows may have left the outbox since it was planned.';
COMMENT ON TRIGGER jobs_check_replay ON walpost.jobs IS 'Keeps what replay promises true.';
COMMENT ON FUNCTION walpost.prune(interval, integer) IS
  'Removes one batch of proven events older than the retention, and of old keys, results and log rows; returns how many rows (or daily partitions) that were. 0 means that nothing is left to do, that another session is at it, or that a heal or a replay has still to read the outbox.';
