-- A replay that begins at a checkpoint promises every row that this checkpoint does not see. So when rows leave the outbox, by
-- walpost.prune or by hand, the checkpoints that do not see them leave too, and a replay begins later. The newest settled checkpoint
-- of a slot stays: it says what is proven.

CREATE OR REPLACE TRIGGER outbox_rows_left AFTER DELETE ON walpost.outbox
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION walpost_internal.forget_checkpoints();
CREATE OR REPLACE TRIGGER outbox_emptied AFTER TRUNCATE ON walpost.outbox
  FOR EACH STATEMENT EXECUTE FUNCTION walpost_internal.forget_checkpoints();

COMMENT ON TRIGGER outbox_rows_left ON walpost.outbox IS 'Removes the checkpoints from which a replay would be incomplete.';
COMMENT ON TRIGGER outbox_emptied ON walpost.outbox IS 'Removes the checkpoints from which a replay would be incomplete.';
