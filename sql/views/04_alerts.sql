-- Alerts that hold now.

CREATE OR REPLACE VIEW walpost.alerts WITH (security_invoker = true) AS
WITH RECURSIVE slots AS MATERIALIZED (SELECT * FROM walpost.cursor_health),
late AS MATERIALIZED (
  SELECT s.slot, count(*) AS events
    FROM slots AS s
         CROSS JOIN LATERAL walpost_internal.pending_events(s.slot, 10001) AS e
   WHERE e.created_at < clock_timestamp() - make_interval(secs => walpost_internal.setting('alert_grace_seconds', 30)::float8)
   GROUP BY s.slot
), health AS MATERIALIZED (SELECT * FROM walpost.health),
paused AS MATERIALIZED (SELECT l.slot, l.sink, l.organization_id FROM walpost.lanes AS l WHERE l.paused_at IS NOT NULL),
queue AS (
  (SELECT p.slot, p.sink FROM walpost.parked AS p ORDER BY p.slot, p.sink LIMIT 1)
  UNION ALL
  SELECT next.* FROM queue CROSS JOIN LATERAL (
    SELECT p.slot, p.sink FROM walpost.parked AS p WHERE (p.slot, p.sink) > (queue.slot, queue.sink) ORDER BY p.slot, p.sink LIMIT 1) AS next
), parked AS MATERIALIZED ( -- what is paused waits for a person who knows; of each sink the oldest are looked at
  SELECT q.sink, n.events, n.oldest
    FROM queue AS q
         CROSS JOIN LATERAL (
           SELECT count(*) AS events, min(f.received_at) AS oldest
             FROM (SELECT p.organization_id, p.lane, p.received_at FROM walpost.parked AS p
                    WHERE p.slot = q.slot AND p.sink = q.sink ORDER BY p.id LIMIT 10001) AS f
            WHERE NOT EXISTS (SELECT FROM paused AS l WHERE (l.slot, l.sink, l.organization_id) = (q.slot, q.sink, f.organization_id))
              AND NOT walpost_internal.is_endpoint_lane(f.lane)) AS n
   WHERE NOT EXISTS (SELECT FROM paused AS l WHERE (l.slot, l.sink, l.organization_id) = (q.slot, q.sink, ''))
),
waits AS MATERIALIZED ( -- how much waits, since when, and where most of it is: a sink, or a slot
  SELECT least(10001, (SELECT coalesce(sum(p.events), 0) FROM parked AS p)) + coalesce((SELECT max(events) FROM late), 0) AS events,
         least((SELECT min(s.oldest_pending_at) FROM slots AS s), (SELECT h.no_relay_since FROM health AS h),
               (SELECT min(p.oldest) FROM parked AS p)) AS oldest,
         coalesce((SELECT 'sink ' || p.sink FROM parked AS p WHERE p.events > 0 ORDER BY p.events DESC, 1 LIMIT 1),
                  (SELECT 'slot ' || s.slot FROM slots AS s ORDER BY s.pending DESC, 1 LIMIT 1)) AS subject
), dead AS MATERIALIZED ( -- those of endpoints are for their organizations
  SELECT 'sink ' || coalesce(d.sink, '(none)') AS subject, sum(count(*)) OVER () AS events
    FROM (SELECT sink, lane, stored_at FROM walpost.dead_letters ORDER BY id DESC LIMIT 10000) AS d
   WHERE d.stored_at > now() - interval '1 hour' AND NOT walpost_internal.is_endpoint_lane(d.lane)
   GROUP BY d.sink ORDER BY count(*) DESC, 1 LIMIT 1
), failing AS MATERIALIZED (
  SELECT 'sink ' || e.sink AS subject, sum(count(*)) OVER () AS endpoints
    FROM walpost.lanes AS l JOIN walpost.endpoints AS e ON e.endpoint_id = walpost_internal.uuid_or_null(l.lane)
   WHERE l.sink = e.sink AND l.organization_id = e.organization_id::text AND e.state = 'enabled'
     AND l.failing_since < clock_timestamp() - make_interval(secs => walpost_internal.setting('alert_endpoint_failing_seconds', 3600)::float8)
   GROUP BY e.sink ORDER BY count(*) DESC, 1 LIMIT 1
), troubled AS MATERIALIZED ( -- organizations of which events wait for a receiver or a person, each once; endpoints have an alert of their own
  SELECT t.name, t.sink, t.organization_id, min(t.since) AS since, max(t.attempts) AS attempts, min(t.next_try_at) AS next_try_at,
         (array_agg(t.reason ORDER BY t.is_behind, t.since))[1] AS reason, bool_and(t.is_behind) AS is_behind
    FROM (SELECT CASE l.state WHEN 'refusing' THEN 'refusing' ELSE 'failing' END AS name, l.slot, l.sink, l.organization_id, l.lane,
                 l.failing_since AS since, l.attempts, l.next_try_at, l.reason, l.code IS NOT DISTINCT FROM 'BREAKER_OPEN' AS is_behind
            FROM walpost.lanes AS l
           WHERE l.failing_since < clock_timestamp() - make_interval(secs => walpost_internal.setting('alert_failing_seconds', 10)::float8)
           UNION ALL
          (SELECT DISTINCT ON (d.slot, d.sink, d.organization_id, d.lane)
                  'blocked', d.slot, d.sink, d.organization_id, d.lane, d.stored_at, NULL::integer, NULL::timestamptz, format('dead letter %s', d.id), false
             FROM walpost.dead_letters AS d JOIN slots AS s USING (slot)
            WHERE d.blocks ORDER BY d.slot, d.sink, d.organization_id, d.lane, d.id LIMIT 10000)) AS t
         JOIN slots AS s USING (slot)
   WHERE NOT walpost_internal.is_endpoint_lane(t.lane)
     AND NOT EXISTS (SELECT FROM paused AS p WHERE (p.slot, p.sink) = (t.slot, t.sink) AND p.organization_id IN ('', t.organization_id))
   GROUP BY t.name, t.sink, t.organization_id
), named AS MATERIALIZED ( -- of each sink the three that have failed longest; an id is never cut, and what a lane behind an open breaker says comes last
  SELECT t.name, 'sink ' || t.sink AS subject, t.sink, count(*) AS organizations,
         CASE count(*) WHEN 1 THEN 'organization' ELSE 'organizations' END AS who,
         format(', since %s: %s%s', walpost_internal.time_text(min(t.since)),
                string_agg(concat_ws(', ', t.organization_id, t.attempts || ' failed', CASE WHEN t.next_try_at IS NOT NULL THEN 'next try ' || walpost_internal.time_text(t.next_try_at) END)
                           || coalesce(': ' || left(t.reason, 200), ''), '; ' ORDER BY t.place) FILTER (WHERE t.place <= 3),
                '; and ' || nullif(greatest(count(*) - 3, 0), 0) || ' more') AS first
    FROM (SELECT *, row_number() OVER (PARTITION BY name, sink ORDER BY is_behind, since, organization_id) AS place FROM troubled) AS t
   GROUP BY t.name, t.sink
), budgets AS MATERIALIZED ( -- the limit of the server is a limit of what it keeps; without one there is only alert_wal_bytes
  SELECT s.slot, s.retained_bytes::numeric AS kept, nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1)::numeric AS most,
         walpost_internal.setting('alert_wal_bytes', 4294967296) AS warns
    FROM slots AS s
   WHERE s.slot_status IN ('reserved', 'extended', 'unreserved')
), strangers AS MATERIALIZED ( -- sessions that hold the lock of a leader and are no relay
  SELECT s.slot, l.* FROM slots AS s CROSS JOIN LATERAL walpost.leader_lock(s.slot) AS l WHERE l.is_stranger
), measured (name, severity, subject, value, threshold, message, remedy) AS (
  SELECT 'undelivered', 'critical', w.subject, w.events::numeric,
         walpost_internal.setting('alert_undelivered', 1000), 'events wait for delivery',
         'See `walpost status` and `walpost parked list`: a sink that is away, or a relay that does not run.' FROM waits AS w
   UNION ALL
  SELECT 'waiting', 'warning', w.subject, w.events,
         walpost_internal.setting('alert_waiting', 100), 'events wait for delivery',
         'See `walpost status` and `walpost parked list`: a sink that is away, or a relay that does not run.' FROM waits AS w
   UNION ALL
  SELECT 'oldest_undelivered', 'critical', w.subject, greatest(0, extract(epoch FROM clock_timestamp() - w.oldest))::numeric,
         walpost_internal.setting('alert_oldest_undelivered_seconds', 300), 'seconds is how long the oldest event has waited',
         'See `walpost status` and `walpost parked list`: a sink that is away, or a relay that does not run.' FROM waits AS w
   UNION ALL
  SELECT 'average_delivery', 'warning', w.subject, h.average_delivery_seconds::numeric,
         walpost_internal.setting('alert_average_delivery_seconds', 5), 'seconds on average from writing to delivery',
         'Find the slow sink in walpost.delivery_log (duration_ms), or raise its concurrency.' FROM health AS h, waits AS w
   UNION ALL
  SELECT 'average_delivery_critical', 'critical', w.subject, h.average_delivery_seconds::numeric,
         walpost_internal.setting('alert_average_delivery_critical_seconds', 120), 'seconds on average from writing to delivery',
         'Find the slow sink in walpost.delivery_log (duration_ms), or raise its concurrency.' FROM health AS h, waits AS w
   UNION ALL
  SELECT 'dead_letters', 'warning', d.subject, d.events,
         walpost_internal.setting('alert_dead_letters_per_hour', 10), 'dead letters in the last hour',
         'See `walpost dead-letters list`, mend the receiver, then `walpost dead-letters redrive`.' FROM dead AS d
   UNION ALL
  SELECT 'failing_organizations', 'warning', n.subject, n.organizations, 0, n.who || ' whose deliveries fail' || n.first,
         format('Mend the receiver: `walpost status` says how. Delivery then goes on by itself, in order; `walpost parked retry --sink %s` skips the wait.', n.sink)
    FROM named AS n WHERE n.name = 'failing'
   UNION ALL
  SELECT 'refusing_organizations', 'warning', n.subject, n.organizations, 0, n.who || ' whose receiver refuses every event' || n.first,
         'Find out why the receiver refuses them and mend it, or the events; they go on by themselves. `walpost parked discard --id ...` gives one up.'
    FROM named AS n WHERE n.name = 'refusing'
   UNION ALL
  SELECT 'blocked_organizations', 'warning', n.subject, n.organizations, 0, n.who || ' blocked by a dead letter' || n.first,
         format('See `walpost dead-letters show`, mend the receiver, then `walpost dead-letters redrive --sink %s`; or `walpost dead-letters discard`.', n.sink)
    FROM named AS n WHERE n.name = 'blocked'
   UNION ALL
  SELECT 'failing_endpoints', 'warning', f.subject, f.endpoints,
         walpost_internal.setting('alert_failing_endpoints', 10), format('endpoints of customers have failed for more than %s minutes', round(walpost_internal.setting('alert_endpoint_failing_seconds', 3600) / 60)),
         'See `walpost endpoints list --failing`. Many at once are seldom the fault of customers: see whether this network reaches others.'
    FROM failing AS f
   UNION ALL
  SELECT 'endpoints_silent', 'warning', 'walpost.endpoints', 1, 0,
         'nothing is sent to the endpoints of customers, because they came with a copy of another database',
         'Where they are meant to get events from this database: `walpost endpoints adopt`.'
   WHERE walpost_internal.endpoints_are_copied()
   UNION ALL
  SELECT 'no_progress', 'critical', s.slot, extract(epoch FROM clock_timestamp() - greatest(s.claimed_at, s.advanced_at, s.proven_until))::numeric,
         walpost_internal.setting('alert_no_progress_seconds', 300), 'seconds without progress while events wait',
         'Run `walpost status`: it says what holds the slot back.'
    FROM slots AS s JOIN late AS l USING (slot)
   UNION ALL
  SELECT 'slot_' || s.slot_status, 'critical', s.slot, 1, 0, 'the slot does not keep what is not delivered',
         CASE s.slot_status WHEN 'unreserved' THEN 'Run the relay, or raise max_slot_wal_keep_size, before the slot is lost.'
                            WHEN 'other_database' THEN 'Give this relay a slot of its own in source.slot.'
                            ELSE 'Start walpost: with source.on_slot_lost: heal it makes the slot again, and sends the missed rows from the table.' END
    FROM slots AS s WHERE s.slot_status IN ('missing', 'lost', 'unreserved', 'other_database')
   UNION ALL
  SELECT 'wal_budget', CASE WHEN b.kept > 0.8 * b.most THEN 'critical' ELSE 'warning' END, b.slot, b.kept, least(b.warns, b.most / 2),
         format('bytes of WAL are kept for the slot (%s); %s', pg_size_pretty(b.kept),
                coalesce('it is lost at max_slot_wal_keep_size, ' || pg_size_pretty(b.most), 'the server keeps it until its disk is full')),
         'Run `walpost status`: it says what holds the slot back. Meanwhile raise max_slot_wal_keep_size, or make room on the disk.'
    FROM budgets AS b
   UNION ALL
  SELECT 'no_relay', 'critical', 'walpost.outbox', extract(epoch FROM clock_timestamp() - h.no_relay_since)::numeric,
         walpost_internal.setting('alert_grace_seconds', 30), 'seconds is how long events have waited, and no relay has ever run',
         'Start `walpost run`.' FROM health AS h
   UNION ALL
  SELECT 'slot_inactive', 'warning', s.slot, 1, 0, 'nobody reads from the slot',
         'Start `walpost run`; the server keeps WAL until then. A slot that is not needed any more: see another name for the slot in docs/operations.md.'
    FROM slots AS s -- the server keeps nothing for one that is gone, and no start helps while a stranger holds the lock
   WHERE NOT s.active AND s.slot_status NOT IN ('missing', 'lost', 'other_database')
     AND NOT EXISTS (SELECT FROM strangers AS l WHERE l.slot = s.slot)
   UNION ALL
  SELECT 'two_streams', 'critical', min(c.slot), count(*), 1,
         format('relays stream %s through publication %s, each from a slot of its own (%s): every event is delivered once by each',
                c.source_table, c.publication, string_agg(c.slot, ', ' ORDER BY c.slot)),
         'Stop all but one, and give them one source.slot. Then drop the slots that are left over and delete their rows in walpost.cursor.'
    FROM walpost.cursor AS c JOIN slots AS s ON s.slot = c.slot AND s.active AND s.slot_status <> 'other_database'
   WHERE c.source_table IS NOT NULL AND c.publication IS NOT NULL
   GROUP BY c.source_table, c.publication
   UNION ALL
  SELECT 'leader_lock_taken', 'critical', l.slot, 1, 0,
         format('server process %s (role %s, application %L) holds the lock of the leader and is none',
                coalesce(l.pid::text, 'none'), quote_ident(l.role), l.application_name),
         coalesce('End the session with SELECT pg_terminate_backend(' || l.pid || '), and see why its role took the lock.',
                  'End it: ROLLBACK PREPARED with the gid that is named.')
    FROM strangers AS l
)
SELECT m.name, m.severity, m.subject, round(m.value, 3) AS value, m.threshold, m.message, m.remedy
  FROM measured AS m WHERE m.value > m.threshold
 UNION ALL
SELECT 'held_by_' || w.kind, CASE w.kind WHEN 'standby' THEN 'critical' ELSE 'warning' END, w.subject,
       round(extract(epoch FROM clock_timestamp() - w.since)::numeric, 3), walpost_internal.setting('alert_held_seconds', 300), w.message, w.remedy
  FROM walpost.wal_holders AS w
 WHERE w.since IS NULL OR w.since < clock_timestamp() - make_interval(secs => walpost_internal.setting('alert_held_seconds', 300)::float8);

COMMENT ON VIEW walpost.alerts IS 'Alerts that hold now, each with what to do; thresholds are in walpost.settings (alert_...). What is paused is no alert.';
