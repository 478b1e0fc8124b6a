-- What the replication slot reads. Only inserts: pruning deletes rows, and nobody needs to hear of that.
-- The root option is for the day on which the outbox becomes partitioned: changes are named after the table, not its part.

CREATE PUBLICATION walpost FOR TABLE walpost.outbox WITH (publish = 'insert', publish_via_partition_root = true);

COMMENT ON PUBLICATION walpost IS 'New rows of walpost.outbox, for the slot of the walpost relay.';
