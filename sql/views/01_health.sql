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

-- What can keep WAL on the disk of the server, beside a relay that does not run: transactions and slots of the whole cluster, and
-- lanes that fail and are not parked. Who may not see when a transaction began (pg_read_all_stats) is told of one only while it
-- visibly holds a slot.
CREATE OR REPLACE VIEW walpost.wal_holders WITH (security_invoker = true) AS
WITH ours AS MATERIALIZED (
  SELECT s.slot_name, s.restart_lsn, s.confirmed_flush_lsn
    FROM walpost.cursor AS c JOIN pg_replication_slots AS s ON s.slot_name = c.slot AND s.database = current_database()
), bounds AS MATERIALIZED (
  SELECT clock_timestamp() - make_interval(secs => walpost_internal.setting('alert_grace_seconds', 30)::float8) AS begun_before,
         walpost_internal.setting('alert_held_bytes', 67108864) AS bytes,
         CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
), names AS MATERIALIZED (
  SELECT n.setting,
         coalesce((regexp_match(n.setting, '^\s*(?:(?:first|any)\s+)?(\d+)\s*\(', 'i'))[1]::integer, 1) AS needed,
         ARRAY(SELECT lower(coalesce(replace(m[1], '""', '"'), m[2]))
                 FROM regexp_matches(coalesce((regexp_match(n.setting, '^\s*(?:(?:first|any)\s+)?\d+\s*\((.*)\)\s*$', 'i'))[1], n.setting),
                                     '"((?:[^"]|"")*)"|([^\s,"]+)', 'g') AS m) AS list
    FROM (SELECT current_setting('synchronous_standby_names') AS setting) AS n
)
SELECT 'transaction' AS kind, NULL::text AS slot, format('server process %s', a.pid) AS subject, a.xact_start AS since,
       format('server process %s (role %s, application %L, database %s) keeps a transaction open that has written, since %s; its last statement began %s',
              a.pid, coalesce(quote_ident(a.usename), 'unknown'), a.application_name, coalesce(quote_ident(a.datname), 'none'),
              walpost_internal.time_text(a.xact_start), walpost_internal.time_text(a.query_start)) AS message,
       format('End it in its application, or with SELECT pg_terminate_backend(%s);', a.pid) AS remedy
  FROM bounds AS b
       CROSS JOIN LATERAL ( -- filtered first: one that has just begun must not hide the next
         SELECT * FROM pg_stat_activity AS s
          WHERE s.backend_xid IS NOT NULL AND s.wait_event IS DISTINCT FROM 'SyncRep'
            AND (s.xact_start < b.begun_before
                 OR s.xact_start IS NULL AND EXISTS (SELECT FROM ours AS o WHERE pg_wal_lsn_diff(o.confirmed_flush_lsn, o.restart_lsn) > b.bytes))
          ORDER BY age(s.backend_xid) DESC LIMIT 1) AS a
 UNION ALL
SELECT 'prepared_transaction', NULL, p.gid, p.prepared,
       format('prepared transaction %L (role %s, database %I) is open since %s', p.gid, coalesce(quote_ident(p.owner), 'unknown'), p.database, walpost_internal.time_text(p.prepared)),
       format('In database %I: COMMIT PREPARED %L; or ROLLBACK PREPARED %L;', p.database, p.gid, p.gid)
  FROM bounds AS b
       CROSS JOIN LATERAL (SELECT * FROM pg_prepared_xacts AS x WHERE x.prepared < b.begun_before ORDER BY age(x.transaction) DESC LIMIT 1) AS p
 UNION ALL
SELECT 'slot', NULL, s.slot_name::text, NULL,
       format('slot %I keeps %s of WAL, more than any slot of walpost here; %s', s.slot_name,
              pg_size_pretty(pg_wal_lsn_diff(b.lsn, s.restart_lsn)),
              coalesce('server process ' || s.active_pid || ' reads from it', 'nobody reads from it')),
       CASE WHEN s.active THEN 'Find out why its reader is behind.'
            ELSE format('Start what reads from it, or if nothing does any more: SELECT pg_drop_replication_slot(%L);', s.slot_name) END
  FROM bounds AS b
       CROSS JOIN LATERAL (SELECT * FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY restart_lsn LIMIT 1) AS s
 WHERE pg_wal_lsn_diff(b.lsn, s.restart_lsn) > b.bytes
   AND NOT EXISTS (SELECT FROM walpost.cursor AS c WHERE c.slot = s.slot_name)
   AND NOT EXISTS (SELECT FROM ours AS o WHERE o.restart_lsn <= s.restart_lsn)
 UNION ALL
SELECT 'standby', NULL, n.setting, NULL,
       format('commits wait for synchronous_standby_names (%s): %s connected', n.setting,
              CASE WHEN r.connected = 0 THEN 'nobody is' ELSE format('%s of %s', r.connected, n.needed) END),
       'Start the standby that is named, or take it out of synchronous_standby_names and reload the server.'
  FROM names AS n
       CROSS JOIN LATERAL (
         SELECT count(*) AS connected FROM pg_stat_replication AS w
          WHERE coalesce(w.sync_state IN ('sync', 'quorum'), '*' = ANY (n.list) OR lower(w.application_name) = ANY (n.list))) AS r
 WHERE n.setting <> '' AND r.connected < n.needed
 UNION ALL
SELECT 'lane', l.slot, format('sink %s, organization %s%s', l.sink, l.organization_id, nullif(', lane ' || l.lane, ', lane ')), l.failing_since,
       format('walpost itself: sink %s, organization %s%s fails since %s, and is not parked: %s', l.sink, l.organization_id,
              nullif(', lane ' || l.lane, ', lane '), walpost_internal.time_text(l.failing_since), coalesce(l.reason, 'the reason is unknown')),
       'Read what `walpost status` says of stalls; a lane that cannot be parked has a fault of the database.'
  FROM (SELECT * FROM (SELECT slot, sink, organization_id, lane, failing_since, reason FROM walpost.lanes
                        WHERE failing_since IS NOT NULL ORDER BY failing_since LIMIT 1000) AS failing
         WHERE NOT EXISTS (SELECT FROM walpost.parked AS p
                            WHERE (p.slot, p.sink, p.organization_id, p.lane) = (failing.slot, failing.sink, failing.organization_id, failing.lane))
         ORDER BY failing_since LIMIT 1) AS l
       JOIN bounds AS b ON l.failing_since < b.begun_before
       JOIN ours AS o ON o.slot_name = l.slot;

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
COMMENT ON VIEW walpost.wal_holders IS 'What keeps WAL, or commits, waiting now: an old transaction, a prepared one, the slot of another program, a synchronous standby that is not there, a lane. At most one row of a kind.';
COMMENT ON VIEW walpost.health IS 'One row: what waits, what failed, how long. A count with …_more set is "more than". no_relay_since: rows wait since then, and no relay has ever run. idempotency_conflicts: how often a known key came with another event.';
COMMENT ON VIEW walpost.organization_health IS 'What waits and what failed for each organization, where there is anything; of parked lanes and dead letters the first 1,000.';
