-- Views for people and dashboards. Every count stops at a bound, so that each answers at once, however much there is.
--
-- What is pending is what no settled checkpoint proves: the rows of transactions that its snapshot does not see, which are
-- those that were running then and those that came later. Both are ranges of the index (created_xid, seq). Checkpoints
-- are seconds apart, so an event that was just delivered counts as pending for that long.

INSERT INTO walpost.settings (name, value) VALUES
  ('alert_undelivered', '1000'), ('alert_waiting', '100'), ('alert_oldest_undelivered_seconds', '300'),
  ('alert_average_delivery_seconds', '5'), ('alert_average_delivery_critical_seconds', '120'),
  ('alert_dead_letters_per_hour', '10'), ('alert_no_progress_seconds', '300'), ('alert_grace_seconds', '30');

CREATE FUNCTION walpost.pending_events(
  slot text, at_most integer,
  OUT event_id uuid, OUT organization_id uuid, OUT topic text, OUT created_at timestamptz
) RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  proven CONSTANT pg_snapshot := walpost.proven_snapshot(slot);
BEGIN
  IF proven IS NULL THEN
    RETURN QUERY SELECT o.event_id, o.organization_id, o.topic, o.created_at FROM walpost.outbox AS o
                  ORDER BY o.created_xid, o.seq LIMIT at_most;
    RETURN;
  END IF;
  RETURN QUERY
    SELECT p.event_id, p.organization_id, p.topic, p.created_at FROM (
      (SELECT o.event_id, o.organization_id, o.topic, o.created_at FROM walpost.outbox AS o
        WHERE o.created_xid = ANY (ARRAY(SELECT pg_snapshot_xip(proven)))
        ORDER BY o.created_xid, o.seq LIMIT at_most)
      UNION ALL
      (SELECT o.event_id, o.organization_id, o.topic, o.created_at FROM walpost.outbox AS o
        WHERE o.created_xid >= pg_snapshot_xmax(proven)
        ORDER BY o.created_xid, o.seq LIMIT at_most)) AS p
    LIMIT at_most;
END;
$function$;

CREATE FUNCTION walpost.uuid_or_null(id text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN id::uuid END;

CREATE FUNCTION walpost.uuid_time(id text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7' THEN
  to_timestamp(('x' || lpad(replace(left(id, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0) END;

CREATE INDEX parked_event_uuid_idx ON walpost.parked (walpost.uuid_or_null(event_id));
CREATE INDEX dead_letters_event_uuid_idx ON walpost.dead_letters (walpost.uuid_or_null(event_id));

CREATE FUNCTION walpost.event_status(event_id uuid) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  xid xid8;
BEGIN
  IF EXISTS (SELECT FROM walpost.dead_letters AS d WHERE walpost.uuid_or_null(d.event_id) = event_status.event_id) THEN
    RETURN 'dead';
  END IF;
  IF EXISTS (SELECT FROM walpost.parked AS p WHERE walpost.uuid_or_null(p.event_id) = event_status.event_id) THEN
    RETURN 'parked';
  END IF;
  SELECT o.created_xid INTO xid FROM walpost.outbox AS o WHERE o.event_id = event_status.event_id LIMIT 1;
  RETURN CASE WHEN NOT FOUND THEN NULL WHEN walpost.is_proven(xid) THEN 'delivered' ELSE 'pending' END;
END;
$function$;

CREATE VIEW walpost.cursor_health WITH (security_invoker = true) AS
SELECT c.slot, c.epoch, c.lsn, c.claimed_at, c.advanced_at,
       CASE WHEN s.slot_name IS NULL THEN 'missing' ELSE coalesce(s.wal_status, 'lost') END AS slot_status,
       coalesce(s.active, false) AS active,
       pg_wal_lsn_diff(w.lsn, s.restart_lsn)::bigint AS retained_bytes,
       pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)::bigint AS unconfirmed_bytes,
       k.taken_at AS proven_until,
       least(p.events, 10000) AS pending, p.events > 10000 AS pending_more, p.oldest AS oldest_pending_at
  FROM walpost.cursor AS c
       LEFT JOIN pg_replication_slots AS s ON s.slot_name = c.slot
       CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) AS w
       LEFT JOIN LATERAL (
         SELECT t.taken_at FROM walpost.checkpoints AS t
          WHERE t.slot = c.slot AND t.system_identifier = c.system_identifier AND t.settled_at IS NOT NULL
          ORDER BY t.lsn DESC, t.id DESC LIMIT 1) AS k ON true
       CROSS JOIN LATERAL (SELECT count(*) AS events, min(e.created_at) AS oldest FROM walpost.pending_events(c.slot, 10001) AS e) AS p;

CREATE VIEW walpost.health WITH (security_invoker = true) AS
WITH slots AS MATERIALIZED (SELECT * FROM walpost.cursor_health)
SELECT least(n.pending + n.parked, 10000) AS undelivered, n.pending + n.parked > 10000 OR n.pending_more AS undelivered_more,
       n.pending, n.pending_more, least(n.parked, 10000) AS parked, n.parked > 10000 AS parked_more,
       least(n.dead, 10000) AS dead_letters, n.dead > 10000 AS dead_letters_more,
       least(n.dead_hour, 10000) AS dead_letters_last_hour,
       least(n.oldest_pending, n.oldest_parked) AS oldest_undelivered_at,
       greatest(0, extract(epoch FROM clock_timestamp() - least(n.oldest_pending, n.oldest_parked)))::float8 AS oldest_undelivered_seconds,
       n.average_delivery AS average_delivery_seconds
  FROM (SELECT coalesce((SELECT max(h.pending) FROM slots AS h), 0) AS pending,
               coalesce((SELECT bool_or(h.pending_more) FROM slots AS h), false) AS pending_more,
               (SELECT min(h.oldest_pending_at) FROM slots AS h) AS oldest_pending,
               (SELECT count(*) FROM (SELECT FROM walpost.parked LIMIT 10001) AS first) AS parked,
               (SELECT min(p.received_at) FROM (SELECT received_at FROM walpost.parked ORDER BY id LIMIT 100) AS p) AS oldest_parked,
               (SELECT count(*) FROM (SELECT FROM walpost.dead_letters LIMIT 10001) AS first) AS dead,
               (SELECT count(*) FROM (SELECT stored_at FROM walpost.dead_letters ORDER BY id DESC LIMIT 10000) AS newest
                 WHERE newest.stored_at > now() - interval '1 hour') AS dead_hour,
               (SELECT avg(extract(epoch FROM d.at - walpost.uuid_time(d.first_event_id)))::float8
                  FROM (SELECT at, first_event_id, outcome, job FROM walpost.delivery_log
                         WHERE at > now() - interval '5 minutes' ORDER BY at DESC LIMIT 10000) AS d
                 WHERE d.outcome = 'delivered' AND d.job IS NULL) AS average_delivery) AS n;

CREATE VIEW walpost.organization_health WITH (security_invoker = true) AS
WITH RECURSIVE lane AS (
  (SELECT p.slot, p.sink, p.organization_id FROM walpost.parked AS p ORDER BY p.slot, p.sink, p.organization_id LIMIT 1)
  UNION ALL
  SELECT next.* FROM lane CROSS JOIN LATERAL (
    SELECT p.slot, p.sink, p.organization_id FROM walpost.parked AS p
     WHERE (p.slot, p.sink, p.organization_id) > (lane.slot, lane.sink, lane.organization_id)
     ORDER BY p.slot, p.sink, p.organization_id LIMIT 1) AS next
), dead AS (
  (SELECT d.organization_id FROM walpost.dead_letters AS d ORDER BY d.organization_id LIMIT 1)
  UNION ALL
  SELECT next.* FROM dead CROSS JOIN LATERAL (
    SELECT d.organization_id FROM walpost.dead_letters AS d WHERE d.organization_id > dead.organization_id
     ORDER BY d.organization_id LIMIT 1) AS next
), counted AS (
  SELECT e.organization_id::text AS organization_id, count(*) AS pending, 0::bigint AS parked, 0::bigint AS dead_letters, min(e.created_at) AS oldest
    FROM walpost.cursor AS c CROSS JOIN LATERAL walpost.pending_events(c.slot, 10000) AS e
   GROUP BY c.slot, e.organization_id
   UNION ALL
  SELECT l.organization_id, 0, n.events, 0, n.oldest
    FROM (SELECT * FROM lane LIMIT 1000) AS l CROSS JOIN LATERAL (
      SELECT count(*) AS events,
             (SELECT p.received_at FROM walpost.parked AS p
               WHERE p.slot = l.slot AND p.sink = l.sink AND p.organization_id = l.organization_id
               ORDER BY p.era, p.order_lsn, p.order_job, p.place LIMIT 1) AS oldest
        FROM (SELECT FROM walpost.parked AS p
               WHERE p.slot = l.slot AND p.sink = l.sink AND p.organization_id = l.organization_id LIMIT 101) AS first) AS n
   UNION ALL
  SELECT d.organization_id, 0, 0, n.events, NULL
    FROM (SELECT * FROM dead LIMIT 1000) AS d CROSS JOIN LATERAL (
      SELECT count(*) AS events
        FROM (SELECT FROM walpost.dead_letters AS l WHERE l.organization_id = d.organization_id LIMIT 101) AS first) AS n
   WHERE d.organization_id IS NOT NULL
)
SELECT organization_id,
       least(max(pending), 10000) AS pending,
       least(sum(parked), 100)::bigint AS parked, sum(parked) > 100 AS parked_more,
       least(sum(dead_letters), 100)::bigint AS dead_letters, sum(dead_letters) > 100 AS dead_letters_more,
       min(oldest) AS oldest_undelivered_at
  FROM counted GROUP BY organization_id;

CREATE VIEW walpost.queue_status WITH (security_invoker = true) AS
WITH RECURSIVE sink AS (
  (SELECT p.slot, p.sink FROM walpost.parked AS p ORDER BY p.slot, p.sink LIMIT 1)
  UNION ALL
  SELECT next.* FROM sink CROSS JOIN LATERAL (
    SELECT p.slot, p.sink FROM walpost.parked AS p WHERE (p.slot, p.sink) > (sink.slot, sink.sink)
     ORDER BY p.slot, p.sink LIMIT 1) AS next
)
SELECT 'pending' AS state, c.slot, e.topic AS name, count(*) AS events, bool_or(e.more) AS more, min(e.created_at) AS oldest_at
  FROM walpost.cursor AS c
       CROSS JOIN LATERAL (SELECT p.*, count(*) OVER () = 10000 AS more FROM walpost.pending_events(c.slot, 10000) AS p) AS e
 GROUP BY c.slot, e.topic
 UNION ALL
SELECT 'parked', s.slot, s.sink, least(n.events, 10000), n.events > 10000, n.oldest
  FROM sink AS s CROSS JOIN LATERAL (
    SELECT count(*) AS events, min(first.received_at) AS oldest
      FROM (SELECT p.received_at FROM walpost.parked AS p WHERE p.slot = s.slot AND p.sink = s.sink LIMIT 10001) AS first) AS n
 UNION ALL
SELECT 'dead', d.slot, coalesce(d.sink, '(none)'), count(*), false, min(d.stored_at)
  FROM (SELECT slot, sink, stored_at FROM walpost.dead_letters ORDER BY id DESC LIMIT 10000) AS d
 GROUP BY d.slot, d.sink;

CREATE VIEW walpost.error_summary WITH (security_invoker = true) AS
SELECT d.sink, d.reason, d.event_type, count(*) AS events, count(DISTINCT d.organization_id) AS organizations,
       min(d.stored_at) AS first_at, max(d.stored_at) AS last_at,
       (array_agg(d.detail ORDER BY d.id DESC))[1] AS last_detail
  FROM (SELECT * FROM walpost.dead_letters ORDER BY id DESC LIMIT 10000) AS d
 GROUP BY d.sink, d.reason, d.event_type;

CREATE VIEW walpost.event_timeline WITH (security_invoker = true) AS
SELECT o.event_id, o.organization_id::text AS organization_id, o.event_type, o.created_at AS at, 'created' AS step,
       NULL::text AS sink, NULL::text AS detail
  FROM walpost.outbox AS o
 UNION ALL
SELECT o.event_id, o.organization_id::text, o.event_type, l.at, l.outcome, l.sink,
       concat_ws(', ', format('attempt %s, %s ms', l.attempt, round(l.duration_ms)), l.job, l.reason)
  FROM walpost.outbox AS o
       JOIN walpost.delivery_log AS l
         ON l.organization_id = o.organization_id::text AND l.at >= o.created_at AND o.event_id::text = ANY (l.event_ids)
 UNION ALL
SELECT walpost.uuid_or_null(p.event_id), p.organization_id, p.event_type, p.parked_at, 'parked', p.sink, p.job
  FROM walpost.parked AS p
 UNION ALL
SELECT walpost.uuid_or_null(d.event_id), d.organization_id, d.event_type, d.stored_at, 'dead', d.sink,
       format('%s: %s', d.reason, d.detail)
  FROM walpost.dead_letters AS d;

CREATE VIEW walpost.alerts WITH (security_invoker = true) AS
WITH slots AS MATERIALIZED (SELECT * FROM walpost.cursor_health),
late AS MATERIALIZED (
  SELECT s.slot, count(*) AS events
    FROM slots AS s
         CROSS JOIN LATERAL walpost.pending_events(s.slot, 10001) AS e
   WHERE e.created_at < clock_timestamp() - make_interval(secs => walpost.setting('alert_grace_seconds', 30)::float8)
   GROUP BY s.slot
), health AS MATERIALIZED (SELECT * FROM walpost.health),
measured (name, severity, subject, value, threshold, message) AS (
  SELECT 'undelivered', 'critical', NULL::text, h.parked + coalesce((SELECT max(events) FROM late), 0)::numeric,
         walpost.setting('alert_undelivered', 1000), 'events wait for delivery' FROM health AS h
   UNION ALL
  SELECT 'waiting', 'warning', NULL, h.parked + coalesce((SELECT max(events) FROM late), 0),
         walpost.setting('alert_waiting', 100), 'events wait for delivery' FROM health AS h
   UNION ALL
  SELECT 'oldest_undelivered', 'critical', NULL, h.oldest_undelivered_seconds::numeric,
         walpost.setting('alert_oldest_undelivered_seconds', 300), 'seconds the oldest event waits' FROM health AS h
   UNION ALL
  SELECT 'average_delivery', 'warning', NULL, h.average_delivery_seconds::numeric,
         walpost.setting('alert_average_delivery_seconds', 5), 'seconds on average from writing to delivery' FROM health AS h
   UNION ALL
  SELECT 'average_delivery_critical', 'critical', NULL, h.average_delivery_seconds::numeric,
         walpost.setting('alert_average_delivery_critical_seconds', 120), 'seconds on average from writing to delivery' FROM health AS h
   UNION ALL
  SELECT 'dead_letters', 'warning', NULL, h.dead_letters_last_hour,
         walpost.setting('alert_dead_letters_per_hour', 10), 'dead letters in the last hour' FROM health AS h
   UNION ALL
  SELECT 'no_progress', 'critical', s.slot, extract(epoch FROM clock_timestamp() - greatest(s.claimed_at, s.advanced_at, s.proven_until))::numeric,
         walpost.setting('alert_no_progress_seconds', 300), 'seconds without progress while events wait'
    FROM slots AS s JOIN late AS l USING (slot)
   UNION ALL
  SELECT 'slot_' || s.slot_status, 'critical', s.slot, 1, 0, 'the slot does not keep what is not delivered'
    FROM slots AS s WHERE s.slot_status IN ('missing', 'lost', 'unreserved')
   UNION ALL
  SELECT 'slot_inactive', 'warning', s.slot, 1, 0, 'nobody reads from the slot' FROM slots AS s WHERE NOT s.active
)
SELECT m.name, m.severity, m.subject, round(m.value, 3) AS value, m.threshold, m.message
  FROM measured AS m WHERE m.value > m.threshold;

COMMENT ON FUNCTION walpost.pending_events(text, integer) IS 'The oldest events that no settled checkpoint of the slot proves, up to a number.';
COMMENT ON FUNCTION walpost.uuid_or_null(text) IS 'The text as uuid; null when it is none.';
COMMENT ON FUNCTION walpost.uuid_time(text) IS 'When a version 7 uuid was made; null for other ids.';
COMMENT ON FUNCTION walpost.event_status(uuid) IS
  'pending, delivered, parked or dead; the worst of its sinks. Null when the event is not there, or not any more.';
COMMENT ON INDEX walpost.parked_event_uuid_idx IS 'Finding what became of an event of walpost.outbox.';
COMMENT ON INDEX walpost.dead_letters_event_uuid_idx IS 'Finding what became of an event of walpost.outbox.';
COMMENT ON VIEW walpost.cursor_health IS 'One row a slot: where the relay stands, and what the server keeps for it.';
COMMENT ON VIEW walpost.health IS 'One row: what waits, what failed, how long. A count with …_more set is "more than".';
COMMENT ON VIEW walpost.organization_health IS 'What waits and what failed for each organization, where there is anything; of parked lanes and dead letters the first 1,000.';
COMMENT ON VIEW walpost.queue_status IS 'What is pending by topic, parked by sink, dead by sink; the newest 10,000 dead letters.';
COMMENT ON VIEW walpost.error_summary IS 'The newest 10,000 dead letters by sink, reason and type.';
COMMENT ON VIEW walpost.event_timeline IS 'What happened to an event, step by step; ask WHERE event_id = …';
COMMENT ON VIEW walpost.alerts IS 'Alerts that hold now; thresholds are in walpost.settings (alert_…).';
