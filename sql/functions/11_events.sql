-- The state of events, for the views and for event_status.
--
-- Pending is what no settled checkpoint proves: rows of transactions that its snapshot does not see. These were running then, or came
-- later, and both are ranges of the index (created_xid, seq). Checkpoints are seconds apart, so an event counts as pending for that long
-- after its delivery.

CREATE OR REPLACE FUNCTION walpost_internal.uuid_time(id text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7' THEN
  to_timestamp(('x' || lpad(replace(left(id, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0) END;

CREATE OR REPLACE FUNCTION walpost_internal.time_text(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(to_char(time_text.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC', 'unknown');

CREATE OR REPLACE FUNCTION walpost_internal.pending_events(
  slot text, at_most integer,
  OUT event_id uuid, OUT organization_id uuid, OUT topic text, OUT created_at timestamptz
) RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  proven CONSTANT pg_snapshot := walpost_internal.proven_snapshot(slot);
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

CREATE OR REPLACE FUNCTION walpost_internal.own_event_status(event_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  works_for     CONSTANT text    := walpost_internal.organization_of_session();
  works_for_all CONSTANT boolean := walpost_internal.session_works_for_all();
BEGIN
  -- The owner sees every row, so each query names the organization.
  RETURN CASE
    WHEN EXISTS (SELECT FROM walpost.dead_letters AS d
                  WHERE walpost_internal.uuid_or_null(d.event_id) = own_event_status.event_id AND (works_for_all OR d.organization_id = works_for)) THEN 'dead'
    WHEN EXISTS (SELECT FROM walpost.parked AS p
                  WHERE walpost_internal.uuid_or_null(p.event_id) = own_event_status.event_id AND (works_for_all OR p.organization_id = works_for)) THEN 'parked'
    ELSE (SELECT CASE WHEN walpost.is_proven(o.created_xid) THEN 'delivered' ELSE 'pending' END FROM walpost.outbox AS o
           WHERE o.event_id = own_event_status.event_id AND (works_for_all OR o.organization_id::text = works_for) LIMIT 1) END;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.event_status(event_id uuid) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  xid xid8;
BEGIN
  IF NOT walpost_internal.reads_every_event() THEN
    RETURN walpost_internal.own_event_status(event_id);
  END IF;
  IF EXISTS (SELECT FROM walpost.dead_letters AS d WHERE walpost_internal.uuid_or_null(d.event_id) = event_status.event_id) THEN
    RETURN 'dead';
  END IF;
  IF EXISTS (SELECT FROM walpost.parked AS p WHERE walpost_internal.uuid_or_null(p.event_id) = event_status.event_id) THEN
    RETURN 'parked';
  END IF;
  SELECT o.created_xid INTO xid FROM walpost.outbox AS o WHERE o.event_id = event_status.event_id LIMIT 1;
  RETURN CASE WHEN NOT FOUND THEN NULL WHEN walpost.is_proven(xid) THEN 'delivered' ELSE 'pending' END;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.uuid_time(text) IS 'When a version 7 uuid was made; null for other ids.';
COMMENT ON FUNCTION walpost_internal.time_text(timestamptz) IS 'A time in the sentences of the views; unknown for null.';
COMMENT ON FUNCTION walpost_internal.pending_events(text, integer) IS
  'The oldest events that no settled checkpoint of the slot proves, up to a number.';
COMMENT ON FUNCTION walpost_internal.own_event_status(uuid) IS
  'event_status for a publisher, who reads no table of walpost: of events of the organization of the session, or of all where row-level security does not hold the session.';
COMMENT ON FUNCTION walpost.event_status(uuid) IS
  'pending, delivered, parked or dead; the worst of its sinks. Null when the event is not there, or not any more; one of walpost.emit is known only while it is parked or dead.';
