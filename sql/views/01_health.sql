-- Health of the whole, of each slot and of each organization. Every count stops at a bound, so each view answers at once, however much
-- there is.

CREATE OR REPLACE VIEW walpost.cursor_health WITH (security_invoker = true) AS
SELECT c.slot, c.epoch, c.lsn, c.claimed_at, c.advanced_at,
       CASE WHEN s.slot_name IS NULL THEN 'missing'
            WHEN s.database IS DISTINCT FROM current_database() THEN 'other_database'
            ELSE coalesce(s.wal_status, 'lost') END AS slot_status,
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
       CROSS JOIN LATERAL (SELECT count(*) AS events, min(e.created_at) AS oldest FROM walpost_internal.pending_events(c.slot, 10001) AS e) AS p;

CREATE OR REPLACE VIEW walpost.health WITH (security_invoker = true) AS
WITH slots AS MATERIALIZED (SELECT * FROM walpost.cursor_health),
unread AS MATERIALIZED ( -- rows that wait, while there was never a relay
  SELECT count(*) AS events, min(e.created_at) AS oldest
    FROM walpost_internal.pending_events('', 10001) AS e
   WHERE NOT EXISTS (SELECT FROM walpost.cursor)
)
SELECT least(n.pending + n.parked, 10000) AS undelivered, n.pending + n.parked > 10000 OR n.pending_more AS undelivered_more,
       n.pending, n.pending_more, least(n.parked, 10000) AS parked, n.parked > 10000 AS parked_more,
       least(n.dead, 10000) AS dead_letters, n.dead > 10000 AS dead_letters_more,
       least(n.dead_hour, 10000) AS dead_letters_last_hour,
       least(n.oldest_pending, n.oldest_parked) AS oldest_undelivered_at,
       greatest(0, extract(epoch FROM clock_timestamp() - least(n.oldest_pending, n.oldest_parked)))::float8 AS oldest_undelivered_seconds,
       n.average_delivery AS average_delivery_seconds,
       n.no_relay_since,
       coalesce(pg_sequence_last_value('walpost.idempotency_conflicts'::regclass), 0) AS idempotency_conflicts
  FROM (SELECT coalesce((SELECT max(h.pending) FROM slots AS h), least(u.events, 10000)) AS pending,
               coalesce((SELECT bool_or(h.pending_more) FROM slots AS h), u.events > 10000) AS pending_more,
               coalesce((SELECT min(h.oldest_pending_at) FROM slots AS h), u.oldest) AS oldest_pending,
               u.oldest AS no_relay_since,
               (SELECT count(*) FROM (SELECT FROM walpost.parked LIMIT 10001) AS first) AS parked,
               (SELECT min(p.received_at) FROM (SELECT received_at FROM walpost.parked ORDER BY id LIMIT 100) AS p) AS oldest_parked,
               (SELECT count(*) FROM (SELECT FROM walpost.dead_letters LIMIT 10001) AS first) AS dead,
               (SELECT count(*) FROM (SELECT stored_at FROM walpost.dead_letters ORDER BY id DESC LIMIT 10000) AS newest
                 WHERE newest.stored_at > now() - interval '1 hour') AS dead_hour,
               (SELECT avg(extract(epoch FROM d.at - walpost_internal.uuid_time(d.first_event_id)))::float8
                  FROM (SELECT at, first_event_id, outcome, job FROM walpost.delivery_log
                         WHERE at > now() - interval '5 minutes' ORDER BY at DESC LIMIT 10000) AS d
                 WHERE d.outcome = 'delivered' AND d.job IS NULL) AS average_delivery
          FROM unread AS u) AS n;

CREATE OR REPLACE VIEW walpost.organization_health WITH (security_invoker = true) AS
WITH RECURSIVE lane AS (
  (SELECT p.slot, p.sink, p.organization_id, p.lane FROM walpost.parked AS p
    ORDER BY p.slot, p.sink, p.organization_id, p.lane LIMIT 1)
  UNION ALL
  SELECT next.* FROM lane CROSS JOIN LATERAL (
    SELECT p.slot, p.sink, p.organization_id, p.lane FROM walpost.parked AS p
     WHERE (p.slot, p.sink, p.organization_id, p.lane) > (lane.slot, lane.sink, lane.organization_id, lane.lane)
     ORDER BY p.slot, p.sink, p.organization_id, p.lane LIMIT 1) AS next
), dead AS (
  (SELECT d.organization_id FROM walpost.dead_letters AS d ORDER BY d.organization_id LIMIT 1)
  UNION ALL
  SELECT next.* FROM dead CROSS JOIN LATERAL (
    SELECT d.organization_id FROM walpost.dead_letters AS d WHERE d.organization_id > dead.organization_id
     ORDER BY d.organization_id LIMIT 1) AS next
), counted AS (
  SELECT e.organization_id::text AS organization_id, count(*) AS pending, 0::bigint AS parked, 0::bigint AS dead_letters, min(e.created_at) AS oldest
    FROM walpost.cursor AS c CROSS JOIN LATERAL walpost_internal.pending_events(c.slot, 10000) AS e
   GROUP BY c.slot, e.organization_id
   UNION ALL
  SELECT l.organization_id, 0, n.events, 0, n.oldest
    FROM (SELECT * FROM lane LIMIT 1000) AS l CROSS JOIN LATERAL (
      SELECT count(*) AS events,
             (SELECT p.received_at FROM walpost.parked AS p
               WHERE p.slot = l.slot AND p.sink = l.sink AND p.organization_id = l.organization_id AND p.lane = l.lane
               ORDER BY p.history, p.order_lsn, p.order_job, p.place LIMIT 1) AS oldest
        FROM (SELECT FROM walpost.parked AS p
               WHERE p.slot = l.slot AND p.sink = l.sink AND p.organization_id = l.organization_id AND p.lane = l.lane LIMIT 101) AS first) AS n
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

COMMENT ON VIEW walpost.cursor_health IS 'One row a slot: where the relay stands, and what the server keeps for it.';
COMMENT ON VIEW walpost.health IS 'One row: what waits, what failed, how long. A count with …_more set is "more than". no_relay_since: rows wait since then, and no relay has ever run. idempotency_conflicts: how often a known key came with another event.';
COMMENT ON VIEW walpost.organization_health IS 'What waits and what failed for each organization, where there is anything; of parked lanes and dead letters the first 1,000.';
