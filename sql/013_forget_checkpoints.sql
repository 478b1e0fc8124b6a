-- A replay that begins at a checkpoint promises every row that this checkpoint does not see. So when rows leave the outbox,
-- by walpost.prune or by hand, the checkpoints that do not see them leave too, and what can be replayed begins later.
-- The newest settled checkpoint of a slot stays: it says what is proven.

CREATE FUNCTION walpost.forget_checkpoints() RETURNS trigger
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
  xids := ARRAY(SELECT DISTINCT g.created_xid FROM gone AS g ORDER BY g.created_xid DESC);
  last := xids[1];
  DELETE FROM walpost.checkpoints AS c
   WHERE c.id <> ALL (kept)
     AND pg_snapshot_xmin(c.snapshot) <= last
     AND EXISTS (SELECT FROM unnest(xids) AS x WHERE NOT pg_visible_in_snapshot(x, c.snapshot));
  RETURN NULL;
END;
$function$;

CREATE TRIGGER outbox_rows_left AFTER DELETE ON walpost.outbox
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION walpost.forget_checkpoints();
CREATE TRIGGER outbox_emptied AFTER TRUNCATE ON walpost.outbox
  FOR EACH STATEMENT EXECUTE FUNCTION walpost.forget_checkpoints();

COMMENT ON FUNCTION walpost.forget_checkpoints() IS
  'Removes the checkpoints that do not see rows which have left the outbox: a replay from there would be incomplete.';
COMMENT ON TRIGGER outbox_rows_left ON walpost.outbox IS 'Keeps what replay promises true.';
COMMENT ON TRIGGER outbox_emptied ON walpost.outbox IS 'Keeps what replay promises true.';
