-- Rows that were loaded from another cluster: a dump, a logical copy, a COPY.
--
-- created_xid counts the transactions of one cluster. A loaded row has the number of its old cluster. Where that number lies in the future
-- here, a heal would send new rows before old ones, and no snapshot would ever see the old ones, so they would stay pending for ever.
--
-- A row counts as loaded when created_xid is younger than the transaction that wrote it here (xmin); a default can never be that. Loaded
-- rows are stamped anew: all with one number, that of the first transaction that loaded some, or a smaller one where older rows of this
-- cluster exist; and with new values of seq, in their old order. So they keep their order, after loaded rows whose number lies in the past
-- here, and before everything new.
--
-- Rows that were loaded while walpost streamed came over the stream like any other. Each gets the number of the transaction that loaded it
-- (stamp is null), so that it is proven when that transaction is.
--
-- Each call is a batch in a transaction of its own. After an interruption the remaining rows still have their old order and get higher
-- values of seq, so the next caller goes on.

CREATE OR REPLACE FUNCTION walpost_internal.written_xid(row_xmin xid) RETURNS bigint
LANGUAGE sql STABLE
-- The transaction as a number that never wraps around. What is not a number of a transaction, or too long ago to tell, is
-- younger than everything: such a row is none that was loaded lately.
BEGIN ATOMIC
  SELECT CASE WHEN row_xmin::text::bigint < 3 OR age(row_xmin) < 0 THEN 9223372036854775807
              ELSE pg_current_xact_id()::text::bigint - age(row_xmin) END;
END;

CREATE OR REPLACE FUNCTION walpost_internal.begin_restamp() RETURNS xid8
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  numbers CONSTANT regclass := pg_get_serial_sequence('walpost.outbox', 'seq');
  stamp   bigint;
  highest bigint;
BEGIN
  SELECT least(min(r.written) FILTER (WHERE r.created > r.written), min(r.created) FILTER (WHERE r.created = r.written) - 1),
         max(r.seq)
    INTO stamp, highest
    FROM (SELECT o.created_xid::text::bigint AS created, walpost_internal.written_xid(o.xmin) AS written, o.seq
            FROM walpost.outbox AS o) AS r
  HAVING bool_or(r.created > r.written);
  -- A logical copy does not bring the sequence along, and new values must be the highest.
  IF stamp IS NOT NULL AND highest > nextval(numbers) THEN
    PERFORM setval(numbers, highest);
  END IF;
  -- The transaction of a key counts as running when its number comes up here.
  UPDATE walpost.emit_keys AS k SET created_xid = '3' WHERE k.created_xid::text::bigint > walpost_internal.written_xid(k.xmin);
  -- No snapshot would ever see such a change.
  UPDATE walpost.endpoint_changes AS c SET changed_xid = '3' WHERE c.changed_xid::text::bigint > walpost_internal.written_xid(c.xmin);
  RETURN CASE WHEN stamp IS NOT NULL THEN greatest(stamp, 3)::text::xid8 END;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.restamp(
  stamp xid8, batch_size integer, after_xid xid8 DEFAULT '0', after_seq bigint DEFAULT 0,
  OUT stamped integer, OUT last_xid xid8, OUT last_seq bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  old record;
BEGIN
  IF stamp >= pg_current_xact_id() OR batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100000 THEN
    RAISE EXCEPTION 'walpost.restamp: the new number must lie in the past, and batch_size must be 1 to 100000'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is the number that walpost_internal.begin_restamp() returns.';
  END IF;
  stamped := 0;
  FOR old IN
    SELECT o.event_id, o.created_at, o.created_xid, o.seq, walpost_internal.written_xid(o.xmin) AS written FROM walpost.outbox AS o
     WHERE (o.created_xid, o.seq) > (after_xid, after_seq)
       AND o.created_xid::text::bigint > walpost_internal.written_xid(o.xmin)
     ORDER BY o.created_xid, o.seq LIMIT batch_size
  LOOP
    UPDATE walpost.outbox AS o SET created_xid = coalesce(stamp, old.written::text::xid8), seq = DEFAULT
     WHERE o.event_id = old.event_id AND o.created_at = old.created_at;
    stamped := stamped + 1;
    last_xid := old.created_xid;
    last_seq := old.seq;
  END LOOP;
  IF stamped > 0 THEN
    DELETE FROM walpost.prune_marks; -- the rows may lie before them now
  END IF;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.written_xid(xid) IS 'The transaction that wrote a row here, from its xmin.';
COMMENT ON FUNCTION walpost_internal.begin_restamp() IS
  'The number under which rows that were loaded from another cluster belong here; null when there is none whose number lies in the future.';
COMMENT ON FUNCTION walpost_internal.restamp(xid8, integer, xid8, bigint) IS
  'Gives one batch of rows that were loaded from another cluster the number of walpost_internal.begin_restamp(), or null for that of the transaction which loaded each, in their old order, from (after_xid, after_seq) on; returns how many, and the last.';
