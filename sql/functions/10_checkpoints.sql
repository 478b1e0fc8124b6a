-- What is proven: rows of transactions that the last settled checkpoint of every slot sees (see walpost.checkpoints).

CREATE OR REPLACE FUNCTION walpost_internal.proven_snapshot(slot text) RETURNS pg_snapshot
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT c.snapshot
    FROM walpost.checkpoints AS c
    JOIN walpost.cursor AS k ON k.slot = c.slot AND k.system_identifier = c.system_identifier
   WHERE c.slot = proven_snapshot.slot
     AND c.settled_at IS NOT NULL
     AND c.system_identifier = (SELECT s.system_identifier::text FROM pg_control_system() AS s)
     AND c.lsn <= CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END
   ORDER BY c.lsn DESC, c.id DESC
   LIMIT 1;
END;

CREATE OR REPLACE FUNCTION walpost.is_proven(created_xid xid8) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(bool_and(coalesce(pg_visible_in_snapshot(is_proven.created_xid, walpost_internal.proven_snapshot(k.slot)), false)), false)
    FROM walpost.cursor AS k;
END;

CREATE OR REPLACE FUNCTION walpost_internal.forget_checkpoints() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  kept CONSTANT bigint[] := ARRAY(
    SELECT DISTINCT ON (s.slot) s.id FROM walpost.checkpoints AS s
     WHERE s.settled_at IS NOT NULL ORDER BY s.slot, s.lsn DESC, s.id DESC);
  xids xid8[];
  last xid8;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM walpost.checkpoints AS c WHERE c.id <> ALL (kept);
    RETURN NULL;
  END IF;
  xids := ARRAY(SELECT DISTINCT g.created_xid FROM gone AS g WHERE g.event_type <> 'walpost.verify' ORDER BY g.created_xid DESC);
  IF xids = '{}' THEN
    RETURN NULL; -- a replay does not miss canaries of walpost verify
  END IF;
  last := xids[1];
  DELETE FROM walpost.checkpoints AS c
   WHERE c.id <> ALL (kept)
     AND pg_snapshot_xmin(c.snapshot) <= last
     AND EXISTS (SELECT FROM unnest(xids) AS x WHERE NOT pg_visible_in_snapshot(x, c.snapshot));
  RETURN NULL;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.proven_snapshot(text) IS
  'The snapshot of the last settled checkpoint of a slot: the rows that it sees are proven. Null when nothing is, as after a restore into another cluster.';
COMMENT ON FUNCTION walpost.is_proven(xid8) IS
  'Whether a row with this created_xid is settled for every slot that has a cursor row. Remove the cursor row of a slot that is gone for good.';
COMMENT ON FUNCTION walpost_internal.forget_checkpoints() IS
  'Removes the checkpoints that do not see rows which have left the outbox: a replay from there would be incomplete.';
