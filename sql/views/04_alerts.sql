-- Alerts that hold now.

CREATE OR REPLACE VIEW walpost.alerts WITH (security_invoker = true) AS
WITH slots AS MATERIALIZED (SELECT * FROM walpost.cursor_health),
late AS MATERIALIZED (
  SELECT s.slot, count(*) AS events
    FROM slots AS s
         CROSS JOIN LATERAL walpost_internal.pending_events(s.slot, 10001) AS e
   WHERE e.created_at < clock_timestamp() - make_interval(secs => walpost_internal.setting('alert_grace_seconds', 30)::float8)
   GROUP BY s.slot
), health AS MATERIALIZED (SELECT * FROM walpost.health),
measured (name, severity, subject, value, threshold, message) AS (
  SELECT 'undelivered', 'critical', NULL::text, h.parked + coalesce((SELECT max(events) FROM late), 0)::numeric,
         walpost_internal.setting('alert_undelivered', 1000), 'events wait for delivery' FROM health AS h
   UNION ALL
  SELECT 'waiting', 'warning', NULL, h.parked + coalesce((SELECT max(events) FROM late), 0),
         walpost_internal.setting('alert_waiting', 100), 'events wait for delivery' FROM health AS h
   UNION ALL
  SELECT 'oldest_undelivered', 'critical', NULL, h.oldest_undelivered_seconds::numeric,
         walpost_internal.setting('alert_oldest_undelivered_seconds', 300), 'seconds the oldest event waits' FROM health AS h
   UNION ALL
  SELECT 'average_delivery', 'warning', NULL, h.average_delivery_seconds::numeric,
         walpost_internal.setting('alert_average_delivery_seconds', 5), 'seconds on average from writing to delivery' FROM health AS h
   UNION ALL
  SELECT 'average_delivery_critical', 'critical', NULL, h.average_delivery_seconds::numeric,
         walpost_internal.setting('alert_average_delivery_critical_seconds', 120), 'seconds on average from writing to delivery' FROM health AS h
   UNION ALL
  SELECT 'dead_letters', 'warning', NULL, h.dead_letters_last_hour,
         walpost_internal.setting('alert_dead_letters_per_hour', 10), 'dead letters in the last hour' FROM health AS h
   UNION ALL
  SELECT 'no_progress', 'critical', s.slot, extract(epoch FROM clock_timestamp() - greatest(s.claimed_at, s.advanced_at, s.proven_until))::numeric,
         walpost_internal.setting('alert_no_progress_seconds', 300), 'seconds without progress while events wait'
    FROM slots AS s JOIN late AS l USING (slot)
   UNION ALL
  SELECT 'slot_' || s.slot_status, 'critical', s.slot, 1, 0, 'the slot does not keep what is not delivered'
    FROM slots AS s WHERE s.slot_status IN ('missing', 'lost', 'unreserved', 'other_database')
   UNION ALL
  SELECT 'no_relay', 'critical', NULL, extract(epoch FROM clock_timestamp() - h.no_relay_since)::numeric,
         walpost_internal.setting('alert_grace_seconds', 30), 'seconds that events wait, and no relay has ever run' FROM health AS h
   UNION ALL
  SELECT 'slot_inactive', 'warning', s.slot, 1, 0, 'nobody reads from the slot' FROM slots AS s WHERE NOT s.active
   UNION ALL
  SELECT 'leader_lock_taken', 'critical', s.slot, 1, 0,
         format('server process %s (role %s, application %L) holds the lock of the leader and is none',
                coalesce(l.pid::text, 'none'), quote_ident(l.role), l.application_name)
    FROM slots AS s CROSS JOIN LATERAL walpost.leader_lock(s.slot) AS l WHERE l.is_stranger
)
SELECT m.name, m.severity, m.subject, round(m.value, 3) AS value, m.threshold, m.message
  FROM measured AS m WHERE m.value > m.threshold;

COMMENT ON VIEW walpost.alerts IS 'Alerts that hold now; thresholds are in walpost.settings (alert_…).';
