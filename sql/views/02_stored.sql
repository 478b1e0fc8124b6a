-- What waits and what failed, by topic and sink, and why.

CREATE OR REPLACE VIEW walpost.queue_status WITH (security_invoker = true) AS
WITH RECURSIVE sink AS (
  (SELECT p.slot, p.sink FROM walpost.parked AS p ORDER BY p.slot, p.sink LIMIT 1)
  UNION ALL
  SELECT next.* FROM sink CROSS JOIN LATERAL (
    SELECT p.slot, p.sink FROM walpost.parked AS p WHERE (p.slot, p.sink) > (sink.slot, sink.sink)
     ORDER BY p.slot, p.sink LIMIT 1) AS next
)
SELECT 'pending' AS state, c.slot, e.topic AS name, count(*) AS events, bool_or(e.more) AS more, min(e.created_at) AS oldest_at
  FROM walpost.cursor AS c
       CROSS JOIN LATERAL (SELECT p.*, count(*) OVER () = 10000 AS more FROM walpost_internal.pending_events(c.slot, 10000) AS p) AS e
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

CREATE OR REPLACE VIEW walpost.error_summary WITH (security_invoker = true) AS
SELECT d.sink, d.reason, d.event_type, count(*) AS events, count(DISTINCT d.organization_id) AS organizations,
       min(d.stored_at) AS first_at, max(d.stored_at) AS last_at,
       (array_agg(d.detail ORDER BY d.id DESC))[1] AS last_detail
  FROM (SELECT id, sink, reason, event_type, organization_id, stored_at, detail FROM walpost.dead_letters
         ORDER BY id DESC LIMIT 10000) AS d
 GROUP BY d.sink, d.reason, d.event_type;

COMMENT ON VIEW walpost.queue_status IS 'What is pending by topic, parked by sink, dead by sink; the newest 10,000 dead letters.';
COMMENT ON VIEW walpost.error_summary IS 'The newest 10,000 dead letters by sink, reason and type.';
