-- One event, step by step. The log says what became of it until its own end, also when the row is pruned.

CREATE OR REPLACE VIEW walpost.event_timeline WITH (security_invoker = true) AS
WITH event AS NOT MATERIALIZED ( -- a condition on event_id reaches both primary keys
  SELECT o.event_id, o.organization_id, o.event_type, o.created_at FROM walpost.outbox AS o
   UNION ALL
  SELECT p.event_id, p.organization_id, p.event_type, p.created_at FROM walpost.pruned_events AS p
   WHERE NOT EXISTS (SELECT FROM walpost.outbox AS o WHERE o.event_id = p.event_id)
)
SELECT e.event_id, e.organization_id::text AS organization_id, e.event_type, e.created_at AS at, 'created' AS step,
       NULL::text AS sink, NULL::text AS detail
  FROM event AS e
 UNION ALL
SELECT e.event_id, e.organization_id::text, e.event_type, l.at, l.outcome, l.sink,
       concat_ws(', ', format('attempt %s, %s ms', l.attempt, round(l.duration_ms)), l.job, l.reason)
  FROM event AS e
       JOIN walpost.delivery_log AS l
         ON l.organization_id = e.organization_id::text AND l.at >= e.created_at AND e.event_id::text = ANY (l.event_ids)
 UNION ALL
SELECT walpost_internal.uuid_or_null(p.event_id), p.organization_id, p.event_type, p.parked_at, 'parked', p.sink, p.job
  FROM walpost.parked AS p
 UNION ALL
SELECT walpost_internal.uuid_or_null(d.event_id), d.organization_id, d.event_type, d.stored_at, 'dead', d.sink,
       format('%s: %s', d.reason, d.detail)
  FROM walpost.dead_letters AS d;

COMMENT ON VIEW walpost.event_timeline IS
  'What happened to an event, step by step, for as long as its row, the delivery log or what is stored tells; ask WHERE event_id = ...';
