-- One event, step by step.

CREATE OR REPLACE VIEW walpost.event_timeline WITH (security_invoker = true) AS
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
SELECT walpost_internal.uuid_or_null(p.event_id), p.organization_id, p.event_type, p.parked_at, 'parked', p.sink, p.job
  FROM walpost.parked AS p
 UNION ALL
SELECT walpost_internal.uuid_or_null(d.event_id), d.organization_id, d.event_type, d.stored_at, 'dead', d.sink,
       format('%s: %s', d.reason, d.detail)
  FROM walpost.dead_letters AS d;

COMMENT ON VIEW walpost.event_timeline IS 'What happened to an event, step by step; ask WHERE event_id = …';
