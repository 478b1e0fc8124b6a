-- Canaries: what walpost verify sends through the real slot.
--
-- walpost.publish refuses their type, and the logins that run the command may not write to the outbox. So these functions run with the rights
-- of the owner. They write and remove events of the type walpost.verify alone, and find them by their ids: the outbox may be long.

-- Two runs would remove the canaries of each other. So one session verifies at a time. It locks a table that only the owner may lock; an
-- advisory lock could be taken by any role.

CREATE OR REPLACE FUNCTION walpost_internal.take_verify_turn() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $function$
BEGIN
  LOCK TABLE walpost.verify_turn IN EXCLUSIVE MODE;
EXCEPTION WHEN lock_not_available THEN
  PERFORM walpost_internal.raise_turn_taken('walpost.verify_turn', 'runs walpost verify');
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.send_canary(organization_id uuid, number integer) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  sent_id uuid;
BEGIN
  -- By name: a body of SQL would keep to the table of today, also after walpost.partition_outbox has put another in its place.
  WITH sent AS (
    INSERT INTO walpost.outbox (organization_id, event_type, topic, entity_id, payload)
    VALUES (send_canary.organization_id, 'walpost.verify', 'walpost.verify', send_canary.number::text,
            jsonb_build_object('number', send_canary.number))
    RETURNING event_id, created_at
  ), noted AS (
    INSERT INTO walpost.canaries (event_id, number, sent_at)
    SELECT s.event_id::text, send_canary.number, s.created_at FROM sent AS s
  )
  SELECT s.event_id INTO STRICT sent_id FROM sent AS s;
  RETURN sent_id;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.remove_canaries() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  removed bigint;
BEGIN
  DELETE FROM walpost.outbox AS o
   WHERE o.event_type = 'walpost.verify'
     AND o.event_id IN (SELECT walpost_internal.uuid_or_null(c.event_id) FROM walpost.canaries AS c WHERE c.sent_at IS NOT NULL);
  GET DIAGNOSTICS removed = ROW_COUNT;
  DELETE FROM walpost.canaries;
  RETURN removed;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.take_verify_turn() IS
  'Keeps others from running walpost verify until the transaction ends; after 2 seconds an error says who does.';
COMMENT ON FUNCTION walpost_internal.send_canary(uuid, integer) IS
  'Writes one canary of walpost verify into the outbox, and returns the id of its event.';
COMMENT ON FUNCTION walpost_internal.remove_canaries() IS
  'Removes the canaries of walpost verify from the outbox, with what is noted of them; returns how many there were.';
