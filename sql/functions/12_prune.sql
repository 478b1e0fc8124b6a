-- prune removes what is delivered and old, in small batches.
--
-- Only proven rows leave. The outbox is read from its old end and at most two batches deep, so rows that must stay cost little.
--
-- A topic with retention_hours in walpost.settings has an age of its own. Its rows lie among others, so for each such topic the outbox is read
-- once more, and a mark keeps how far. The others need a mark too then, since rows that stay longer pile up at the old end.
--
-- Rows that a heal or a replay has still to read stay, however old they are. Such rows are proven, so age alone would remove them, and the
-- job would end without an error and send less than it promised. The outbox is left alone until the job is over; walpost jobs cancel ends
-- one that is of no use.
--
-- One session prunes at a time. It locks a table that only the owner may lock; an advisory lock could be taken by any role.

CREATE OR REPLACE FUNCTION walpost_internal.raise_turn_taken(turn regclass, what text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  holder record;
BEGIN
  SELECT l.pid, a.usename, a.application_name INTO holder
    FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
   WHERE l.locktype = 'relation' AND l.relation = turn AND l.granted
     AND l.mode <> 'AccessShareLock' AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
   LIMIT 1;
  RAISE EXCEPTION 'walpost: server process % (role %, application %) %',
      coalesce(holder.pid::text, 'of another session'), coalesce(quote_ident(holder.usename), 'unknown'),
      quote_literal(coalesce(holder.application_name, '')), what
    USING ERRCODE = 'lock_not_available',
          HINT = format('Wait for it, or end it: SELECT pg_terminate_backend(%s);', coalesce(holder.pid::text, '…'));
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.take_prune_turn(with_others boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
BEGIN
  IF with_others THEN
    LOCK TABLE walpost.prune_turn IN SHARE MODE;
  ELSE
    LOCK TABLE walpost.prune_turn IN EXCLUSIVE MODE;
  END IF;
EXCEPTION WHEN lock_not_available THEN
  PERFORM walpost_internal.raise_turn_taken('walpost.prune_turn', 'prunes, and has not committed for 5 seconds');
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.outbox_scan_pending() RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT EXISTS (SELECT FROM walpost.jobs AS j WHERE j.state IN ('queued', 'running') AND j.kind IN ('heal', 'replay'));
END;

CREATE OR REPLACE FUNCTION walpost_internal.prune_by_age(now timestamptz, batch_size integer) RETURNS bigint
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
      WHERE old.created_at < now - make_interval(secs => 3600 * walpost_internal.setting('idempotency_hours', 168)::float8)
      ORDER BY old.created_at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := part;

  DELETE FROM walpost.command_results AS r
   WHERE r.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.command_results AS old
      WHERE old.created_at < now - make_interval(secs => 3600 * walpost_internal.setting('idempotency_hours', 168)::float8)
      ORDER BY old.created_at LIMIT batch_size
        FOR UPDATE SKIP LOCKED)); -- a publisher may lock its own
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.delivery_log AS l
   WHERE l.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.delivery_log AS old
      WHERE old.at < now - make_interval(secs => 3600 * walpost_internal.setting('delivery_log_hours', 168)::float8)
      ORDER BY old.at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.pruned_events AS e
   WHERE e.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.pruned_events AS old
      WHERE old.pruned_at < now - make_interval(secs => 3600 * walpost_internal.setting('delivery_log_hours', 168)::float8)
      ORDER BY old.pruned_at LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.endpoint_secrets AS s
   WHERE s.secret_id = ANY (ARRAY(
     SELECT old.secret_id FROM walpost.endpoint_secrets AS old WHERE old.expires_at < now - interval '1 day'
        FOR UPDATE SKIP LOCKED)); -- a publisher that rotates removes those of its endpoint
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.canaries AS c
   WHERE c.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.canaries AS old
      WHERE coalesce(old.sent_at, old.arrived_at) < now - interval '1 day' ORDER BY old.id LIMIT batch_size));
  GET DIAGNOSTICS part = ROW_COUNT;
  removed := removed + part;

  DELETE FROM walpost.jobs AS j
   WHERE j.ctid = ANY (ARRAY(
     SELECT old.ctid FROM walpost.jobs AS old
      WHERE old.ended_at < now - make_interval(secs => 3600 * walpost_internal.setting('job_hours', 720)::float8)
      ORDER BY old.ended_at LIMIT batch_size
        FOR UPDATE SKIP LOCKED)); -- an operator may lock them
  GET DIAGNOSTICS part = ROW_COUNT;
  RETURN removed + part;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.is_redacted_topic(topic text) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(
    (SELECT s.value = 'true' FROM walpost.settings AS s
      WHERE s.name = 'redact_when_settled' AND s.topic IN (is_redacted_topic.topic, '*') ORDER BY s.topic = '*' LIMIT 1),
    false);
END;

-- Transactions before the oldest xmin are over, and all that they wrote is settled: once that is redacted it needs no second look. Behind it
-- each row is asked for by itself, so that a transaction that stays open holds nothing back.
CREATE OR REPLACE FUNCTION walpost_internal.redact_settled(snapshots pg_snapshot[], batch_size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  done_before CONSTANT xid8 := (SELECT pg_snapshot_xmin(s) FROM unnest(snapshots) AS s ORDER BY pg_snapshot_xmin(s) LIMIT 1);
  horizon     CONSTANT xid8 := (SELECT pg_snapshot_xmax(s) FROM unnest(snapshots) AS s ORDER BY pg_snapshot_xmax(s) LIMIT 1);
  wanted      text;
  mark        xid8;
  reached     xid8[];
  removed     bigint := 0;
  part        bigint;
BEGIN
  DELETE FROM walpost.redaction_marks AS m
   WHERE NOT EXISTS (SELECT FROM walpost.settings AS s WHERE s.name = 'redact_when_settled' AND s.topic = m.topic AND s.value = 'true');
  FOR wanted IN SELECT s.topic FROM walpost.settings AS s WHERE s.name = 'redact_when_settled' AND s.value = 'true' ORDER BY s.topic LOOP
    mark := coalesce((SELECT m.below FROM walpost.redaction_marks AS m WHERE m.topic = wanted), '0');
    WITH first AS (
      SELECT o.event_id, o.created_at, o.created_xid, o.seq FROM walpost.outbox AS o
       WHERE o.created_xid >= mark AND o.created_xid < horizon AND o.redacted_at IS NULL
         AND (SELECT bool_and(pg_visible_in_snapshot(o.created_xid, s)) FROM unnest(snapshots) AS s)
         AND CASE WHEN wanted = '*'
                  THEN NOT EXISTS (SELECT FROM walpost.settings AS s WHERE s.name = 'redact_when_settled' AND s.topic = o.topic)
                  ELSE o.topic = wanted END
       ORDER BY o.created_xid, o.seq LIMIT batch_size
    ), done AS (
      UPDATE walpost.outbox AS o SET payload = 'null', headers = '{}', redacted_at = clock_timestamp()
        FROM first WHERE o.event_id = first.event_id AND o.created_at = first.created_at
    )
    SELECT array_agg(first.created_xid ORDER BY first.created_xid, first.seq) INTO reached FROM first;
    part := coalesce(cardinality(reached), 0);
    removed := removed + part;
    INSERT INTO walpost.redaction_marks (topic, below) VALUES (wanted, CASE WHEN part = batch_size AND reached[part] < done_before THEN reached[part] ELSE done_before END)
    ON CONFLICT ON CONSTRAINT redaction_marks_pkey DO UPDATE SET below = excluded.below;
  END LOOP;

  IF wanted IS NOT NULL THEN
    UPDATE walpost.dead_letters AS d SET payload = 'null', headers = '{}', redacted_at = clock_timestamp()
     WHERE d.id = ANY (ARRAY(
       SELECT old.id FROM walpost.dead_letters AS old
        WHERE old.reason = 'expired' AND old.redacted_at IS NULL AND walpost_internal.is_redacted_topic(old.topic)
        ORDER BY old.id LIMIT batch_size
          FOR UPDATE SKIP LOCKED)); -- an operator may lock them
    GET DIAGNOSTICS part = ROW_COUNT;
    removed := removed + part;
  END IF;
  RETURN removed;
END;
$function$;

-- The relay may begin again where the last settled checkpoint was taken. It needs the newest change of each endpoint from before that, unless
-- the endpoint was removed by then. The row of the removal goes last: without it the endpoint would be there again.
CREATE OR REPLACE FUNCTION walpost_internal.prune_endpoint_changes(snapshots pg_snapshot[], now timestamptz, batch_size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  removed bigint;
BEGIN
  WITH gone AS (
    DELETE FROM walpost.endpoint_changes AS c
     WHERE c.change_id = ANY (ARRAY(
       SELECT old.change_id FROM walpost.endpoint_changes AS old
        WHERE old.changed_at < now - make_interval(secs => 3600 * walpost_internal.setting('delivery_log_hours', 168)::float8)
          AND (SELECT bool_and(pg_visible_in_snapshot(old.changed_xid, s)) FROM unnest(snapshots) AS s)
          AND CASE WHEN old.change = 'removed'
                THEN NOT EXISTS (SELECT FROM walpost.endpoint_changes AS other
                                  WHERE other.endpoint_id = old.endpoint_id AND other.change_id < old.change_id)
                ELSE EXISTS (SELECT FROM walpost.endpoint_changes AS newer
                              WHERE newer.endpoint_id = old.endpoint_id AND newer.change_id > old.change_id
                                AND (SELECT bool_and(pg_visible_in_snapshot(newer.changed_xid, s)) FROM unnest(snapshots) AS s)) END
        ORDER BY old.changed_at LIMIT batch_size))
    RETURNING c.change_id
  ), forgotten AS (
    DELETE FROM walpost.endpoint_positions AS p USING gone WHERE p.change_id = gone.change_id
  )
  SELECT count(*) INTO removed FROM gone;
  RETURN removed;
END;
$function$;

-- Behind the removal of an endpoint nothing is signed for it any more.
CREATE OR REPLACE FUNCTION walpost_internal.prune_removed_secrets(snapshots pg_snapshot[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  removed bigint;
BEGIN
  DELETE FROM walpost.endpoint_secrets AS s
   WHERE NOT EXISTS (SELECT FROM walpost.endpoints AS e WHERE e.endpoint_id = s.endpoint_id)
     AND NOT EXISTS (SELECT FROM walpost.endpoint_changes AS c
                      WHERE c.endpoint_id = s.endpoint_id AND c.change = 'removed'
                        AND NOT (SELECT bool_and(pg_visible_in_snapshot(c.changed_xid, p)) FROM unnest(snapshots) AS p));
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.topics_with_retention(OUT topic text, OUT retention interval) RETURNS SETOF record
LANGUAGE sql STABLE ROWS 10
BEGIN ATOMIC
  SELECT s.topic, make_interval(secs => 3600 * s.value::float8) FROM walpost.settings AS s WHERE s.name = 'retention_hours' ORDER BY s.topic;
END;

-- Reads from the mark on, page by page, until a batch is removed, a row of the topic has to stay, or nothing old is left.
--
-- What the log may know of goes to pruned_events: events of a tenant with an attempt since the event. To look for the event itself would read
-- all attempts of the tenant for each row.
CREATE OR REPLACE FUNCTION walpost_internal.prune_topic(
  wanted text, older_than timestamptz, topics text[], snapshots pg_snapshot[], batch_size integer, until timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  done_before CONSTANT xid8 := (SELECT pg_snapshot_xmin(s) FROM unnest(snapshots) AS s ORDER BY pg_snapshot_xmin(s) LIMIT 1);
  horizon     CONSTANT xid8 := (SELECT pg_snapshot_xmax(s) FROM unnest(snapshots) AS s ORDER BY pg_snapshot_xmax(s) LIMIT 1);
  place_xid   xid8;
  place_seq   bigint;
  mark_xid    xid8;
  mark_seq    bigint;
  removed     bigint := 0;
  page        record;
BEGIN
  SELECT m.xid, m.seq INTO mark_xid, mark_seq FROM walpost.prune_marks AS m WHERE m.topic = wanted;
  place_xid := coalesce(mark_xid, '0');
  place_seq := coalesce(mark_seq, 0);
  LOOP
    WITH read AS (
      SELECT o.event_id, o.organization_id, o.event_type, o.created_at, o.created_xid, o.seq,
             CASE WHEN wanted = '*' THEN o.topic <> ALL (topics) ELSE o.topic = wanted END AS ours,
             o.created_at < older_than AND (SELECT bool_and(pg_visible_in_snapshot(o.created_xid, s)) FROM unnest(snapshots) AS s) AS due
        FROM walpost.outbox AS o
       WHERE (o.created_xid, o.seq) > (place_xid, place_seq) AND o.created_xid < horizon
       ORDER BY o.created_xid, o.seq LIMIT 2 * batch_size
    ), seen AS MATERIALIZED (
      SELECT r.*, row_number() OVER w AS n, r.ours AND r.due AND count(*) FILTER (WHERE r.ours AND r.due) OVER w <= batch_size - removed AS leaves
        FROM read AS r WINDOW w AS (ORDER BY r.created_xid, r.seq ROWS UNBOUNDED PRECEDING)
    ), stay AS (
      SELECT min(s.n) AS first FROM seen AS s WHERE s.ours AND NOT s.leaves
    ), kept AS (
      INSERT INTO walpost.pruned_events (event_id, organization_id, event_type, created_at, pruned_at)
      SELECT s.event_id, s.organization_id, s.event_type, s.created_at, clock_timestamp() FROM seen AS s
       WHERE s.leaves AND EXISTS (SELECT FROM walpost.delivery_log AS l WHERE l.organization_id = s.organization_id::text AND l.at >= s.created_at)
      ON CONFLICT ON CONSTRAINT pruned_events_pkey DO NOTHING
    ), gone AS (
      DELETE FROM walpost.outbox AS o USING seen AS s WHERE s.leaves AND o.event_id = s.event_id AND o.created_at = s.created_at RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) AS removed, ends.rows, ends.is_old, ends.stops,
           last.created_xid AS last_xid, last.seq AS last_seq, done.created_xid AS done_xid, done.seq AS done_seq
      INTO page
      FROM (SELECT count(*) AS rows, max(s.created_at) < older_than AS is_old, (SELECT t.first FROM stay AS t) IS NOT NULL AS stops,
                   max(s.n) FILTER (WHERE s.created_xid < done_before AND s.n < coalesce((SELECT t.first FROM stay AS t), s.n + 1)) AS done
              FROM seen AS s) AS ends
           LEFT JOIN seen AS last ON last.n = ends.rows
           LEFT JOIN seen AS done ON done.n = ends.done;
    removed := removed + page.removed;
    -- Rows of a transaction that was open at the checkpoint may still come: the mark stays before it.
    IF page.done_xid IS NOT NULL THEN
      mark_xid := page.done_xid;
      mark_seq := page.done_seq;
    END IF;
    EXIT WHEN page.rows < 2 * batch_size OR page.stops OR NOT page.is_old OR removed >= batch_size OR clock_timestamp() > until;
    place_xid := page.last_xid;
    place_seq := page.last_seq;
  END LOOP;
  IF mark_xid IS NOT NULL THEN
    INSERT INTO walpost.prune_marks (topic, xid, seq, topics) VALUES (wanted, mark_xid, mark_seq, topics)
    ON CONFLICT ON CONSTRAINT prune_marks_pkey DO UPDATE SET xid = excluded.xid, seq = excluded.seq;
  END IF;
  RETURN removed;
END;
$function$;

-- Without topics of their own the oldest rows are at the old end, and no mark is needed.
CREATE OR REPLACE FUNCTION walpost_internal.prune_oldest(older_than timestamptz, snapshots pg_snapshot[], batch_size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  horizon CONSTANT xid8 := (SELECT pg_snapshot_xmax(s) FROM unnest(snapshots) AS s ORDER BY pg_snapshot_xmax(s) LIMIT 1);
  removed bigint;
BEGIN
  WITH old AS MATERIALIZED (
    SELECT first.event_id, first.organization_id, first.event_type, first.created_at
      FROM (SELECT f.event_id, f.organization_id, f.event_type, f.created_at, f.created_xid FROM walpost.outbox AS f
             WHERE f.created_xid < horizon ORDER BY f.created_xid, f.seq LIMIT 2 * batch_size) AS first
     WHERE first.created_at < older_than
       AND (SELECT bool_and(pg_visible_in_snapshot(first.created_xid, s)) FROM unnest(snapshots) AS s)
     LIMIT batch_size
  ), kept AS (
    INSERT INTO walpost.pruned_events (event_id, organization_id, event_type, created_at, pruned_at)
    SELECT old.event_id, old.organization_id, old.event_type, old.created_at, clock_timestamp() FROM old
     WHERE EXISTS (SELECT FROM walpost.delivery_log AS l WHERE l.organization_id = old.organization_id::text AND l.at >= old.created_at)
    ON CONFLICT ON CONSTRAINT pruned_events_pkey DO NOTHING
  )
  DELETE FROM walpost.outbox AS o USING old WHERE o.event_id = old.event_id AND o.created_at = old.created_at;
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END;
$function$;

-- A mark that was written with other topics, or that was loaded from a dump, counts no more.
CREATE OR REPLACE FUNCTION walpost_internal.prune_outbox(snapshots pg_snapshot[], now timestamptz, retention interval, batch_size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  topics_now CONSTANT text[] := ARRAY(SELECT t.topic FROM walpost_internal.topics_with_retention() AS t);
  until      CONSTANT timestamptz := clock_timestamp() + interval '2 seconds';
  own        record;
  removed    bigint;
BEGIN
  IF topics_now = '{}' THEN
    DELETE FROM walpost.prune_marks;
    RETURN walpost_internal.prune_oldest(now - retention, snapshots, batch_size);
  END IF;
  DELETE FROM walpost.prune_marks AS m WHERE m.topics <> topics_now OR m.xid::text::bigint > walpost_internal.written_xid(m.xmin);
  removed := walpost_internal.prune_topic('*', now - retention, topics_now, snapshots, batch_size, until);
  FOR own IN SELECT t.topic, t.retention FROM walpost_internal.topics_with_retention() AS t LOOP
    removed := removed + walpost_internal.prune_topic(own.topic, now - own.retention, topics_now, snapshots, batch_size, until);
  END LOOP;
  RETURN removed;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.prune(retention interval DEFAULT '72 hours', batch_size integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  now       CONSTANT timestamptz := clock_timestamp();
  snapshots pg_snapshot[];
  proven    boolean;
  is_read   boolean;
  removed   bigint := 0;
  part      bigint;
BEGIN
  IF retention IS NULL OR retention < interval '0' OR batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100000 THEN
    RAISE EXCEPTION 'walpost.prune: retention must not be negative, and batch_size must be 1 to 100000'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Such as walpost.prune(''72 hours'', 5000).';
  END IF;
  PERFORM walpost_internal.take_prune_turn();
  is_read := walpost_internal.outbox_scan_pending();

  IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = 'walpost.outbox'::regclass AND c.relkind = 'p') THEN
    part := walpost_internal.make_partitions() + CASE WHEN is_read THEN 0 ELSE walpost_internal.drop_partitions(retention) END;
    IF part > 0 THEN
      RETURN part; -- soon, because of the locks; the rest comes with the next call
    END IF;
  END IF;

  SELECT array_agg(p.snapshot), coalesce(bool_and(p.snapshot IS NOT NULL), false) INTO snapshots, proven
    FROM walpost.cursor AS c CROSS JOIN LATERAL (SELECT walpost_internal.proven_snapshot(c.slot) AS snapshot) AS p;
  IF proven AND NOT is_read THEN
    removed := walpost_internal.prune_outbox(snapshots, now, retention, batch_size);
    removed := removed + walpost_internal.redact_settled(snapshots, batch_size);
  END IF;
  IF proven THEN
    removed := removed + walpost_internal.prune_endpoint_changes(snapshots, now, batch_size)
             + walpost_internal.prune_removed_secrets(snapshots);
  END IF;

  removed := removed + walpost_internal.prune_by_age(now, batch_size);
  RETURN removed;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.raise_turn_taken(regclass, text) IS
  'Raises an error that says which session holds a turn, what it does, and how to end it.';
COMMENT ON FUNCTION walpost_internal.take_prune_turn(boolean) IS
  'Keeps others from pruning until the transaction ends; after 5 seconds an error says who does.';
COMMENT ON FUNCTION walpost_internal.outbox_scan_pending() IS
  'Whether a heal or a replay is queued or running: then no row may leave the outbox.';
COMMENT ON FUNCTION walpost_internal.prune_by_age(timestamptz, integer) IS
  'The part of walpost.prune that goes by age alone: a batch of old keys, results, log rows and jobs that are over.';
COMMENT ON FUNCTION walpost_internal.is_redacted_topic(text) IS 'Whether redact_when_settled is on for this topic.';
COMMENT ON FUNCTION walpost_internal.redact_settled(pg_snapshot[], integer) IS
  'Replaces payload and headers of one batch of settled rows, and of expired dead letters, of topics with redact_when_settled; returns how many.';
COMMENT ON FUNCTION walpost_internal.prune_endpoint_changes(pg_snapshot[], timestamptz, integer) IS
  'Removes one batch of changes of endpoints that are old and that no relay needs; returns how many.';
COMMENT ON FUNCTION walpost_internal.prune_removed_secrets(pg_snapshot[]) IS
  'Removes the secrets of endpoints whose removal is settled for every relay; returns how many.';
COMMENT ON FUNCTION walpost_internal.topics_with_retention() IS 'Topics whose rows stay shorter or longer than the others, and how long.';
COMMENT ON FUNCTION walpost_internal.prune_topic(text, timestamptz, text[], pg_snapshot[], integer, timestamptz) IS
  'Removes one batch of proven rows of a topic, or of all without a retention of their own (*), that are older; reads on until a time. Returns how many.';
COMMENT ON FUNCTION walpost_internal.prune_oldest(timestamptz, pg_snapshot[], integer) IS
  'Removes one batch of proven rows that are older, where no topic has a retention of its own; returns how many.';
COMMENT ON FUNCTION walpost_internal.prune_outbox(pg_snapshot[], timestamptz, interval, integer) IS
  'The part of walpost.prune that removes rows of the outbox, each topic after its own retention; returns how many.';
COMMENT ON FUNCTION walpost.prune(interval, integer) IS
  'Redacts one batch of settled events of topics with redact_when_settled. Removes one batch of proven events older than the retention, or than retention_hours of their topic, and of old keys, results, log rows and jobs that are over; returns how many rows (or daily partitions) that were. 0 means that nothing is left to do, or that a heal or a replay has still to read the outbox; while another session prunes it waits, and after 5 seconds says whom for.';
