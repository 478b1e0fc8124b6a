-- Endpoints with what fails and waits of each. Counts stop at a bound.

CREATE OR REPLACE VIEW walpost.endpoint_health WITH (security_invoker = true) AS
SELECT e.endpoint_id, e.sink, e.organization_id::text AS organization_id, walpost_internal.url_host(e.url) AS host,
       e.state, e.state_reason, e.state_changed_at, e.missed_since,
       l.failing_since, l.attempts, l.code, l.reason, l.next_try_at,
       least(p.events, 100) AS parked, p.events > 100 AS parked_more, p.oldest AS oldest_parked_at
  FROM walpost.endpoints AS e
       LEFT JOIN LATERAL (
         SELECT t.failing_since, t.attempts, t.code, t.reason, t.next_try_at
           FROM walpost.cursor AS c
                JOIN walpost.lanes AS t
                  ON (t.slot, t.sink, t.organization_id, t.lane) = (c.slot, e.sink, e.organization_id::text, e.endpoint_id::text)
          WHERE t.failing_since IS NOT NULL ORDER BY t.failing_since LIMIT 1) AS l ON true
       CROSS JOIN LATERAL (
         SELECT count(*) AS events, min(f.received_at) AS oldest
           FROM (SELECT t.received_at
                   FROM walpost.cursor AS c
                        JOIN walpost.parked AS t
                          ON (t.slot, t.sink, t.organization_id, t.lane) = (c.slot, e.sink, e.organization_id::text, e.endpoint_id::text)
                  LIMIT 101) AS f) AS p;

COMMENT ON VIEW walpost.endpoint_health IS
  'One row an endpoint: its state, since when and why it fails, and how much is parked for it, up to 100; parked_more says that there is more.';
