-- The only table that applications write: one row for each event, in the transaction of the change that it reports.
--
-- Rights and row-level security of this and all tables come from functions/17_role_model.sql, triggers from triggers/.

CREATE TABLE walpost.outbox (
  event_id        uuid        NOT NULL DEFAULT walpost.uuid_v7(),
  seq             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  organization_id uuid        NOT NULL,
  event_type      text        NOT NULL,
  event_version   smallint    NOT NULL DEFAULT 1,
  topic           text        NOT NULL DEFAULT 'default',
  entity_type     text,
  entity_id       text,
  target          text,
  idempotency_key text,
  payload         jsonb       NOT NULL,
  headers         jsonb       NOT NULL DEFAULT '{}',
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_xid     xid8        NOT NULL DEFAULT pg_current_xact_id(),

  CONSTRAINT outbox_pkey PRIMARY KEY (event_id),
  CONSTRAINT outbox_event_type_length CHECK (char_length(event_type) BETWEEN 1 AND 255),
  CONSTRAINT outbox_event_version_positive CHECK (event_version > 0),
  CONSTRAINT outbox_topic_length CHECK (char_length(topic) BETWEEN 1 AND 255),
  CONSTRAINT outbox_entity_type_length CHECK (char_length(entity_type) <= 255),
  CONSTRAINT outbox_entity_id_length CHECK (char_length(entity_id) <= 1024),
  CONSTRAINT outbox_target_length CHECK (char_length(target) <= 255),
  CONSTRAINT outbox_idempotency_key_length CHECK (char_length(idempotency_key) BETWEEN 1 AND 512),
  CONSTRAINT outbox_payload_1mib CHECK (octet_length(payload::text) <= 1048576),
  CONSTRAINT outbox_headers_object CHECK (jsonb_typeof(headers) = 'object'),
  CONSTRAINT outbox_headers_16kib CHECK (octet_length(headers::text) <= 16384)
);

-- Heal, replay and prune walk the table in this order; an LSN is not in the table, the transaction id is.
CREATE INDEX outbox_created_xid_seq_idx ON walpost.outbox (created_xid, seq);

COMMENT ON TABLE walpost.outbox IS
  'Events to be delivered. Insert a row, or call walpost.publish, in the transaction of the change; rows are never updated.';
COMMENT ON INDEX walpost.outbox_created_xid_seq_idx IS 'The order of heal, replay and prune.';
COMMENT ON COLUMN walpost.outbox.event_id IS 'Identifies the event everywhere; receivers drop repeated ids.';
COMMENT ON COLUMN walpost.outbox.seq IS 'Order inside a transaction, and the key of paging.';
COMMENT ON COLUMN walpost.outbox.organization_id IS 'The tenant: the unit of order and of isolation.';
COMMENT ON COLUMN walpost.outbox.event_type IS 'What happened, such as job.completed.';
COMMENT ON COLUMN walpost.outbox.event_version IS 'Version of the schema of the payload.';
COMMENT ON COLUMN walpost.outbox.topic IS 'Routes choose by it.';
COMMENT ON COLUMN walpost.outbox.entity_type IS 'Kind of the thing that the event is about.';
COMMENT ON COLUMN walpost.outbox.entity_id IS 'Id of the thing that the event is about.';
COMMENT ON COLUMN walpost.outbox.target IS 'Optional hint for routes, such as slack.';
COMMENT ON COLUMN walpost.outbox.idempotency_key IS
  'The producer''s own key, for receivers. walpost.idempotency_keys keeps it unique, not this table.';
COMMENT ON COLUMN walpost.outbox.payload IS 'The event itself: any JSON, up to 1 MiB as text.';
COMMENT ON COLUMN walpost.outbox.headers IS 'A JSON object beside the payload, such as traceparent.';
COMMENT ON COLUMN walpost.outbox.created_at IS 'When the row was written, not when its transaction committed.';
COMMENT ON COLUMN walpost.outbox.created_xid IS
  'The writing transaction, which ties the row to snapshots. Leave it to its default: a wrong value unsettles pruning and replay.';

-- What the replication slot reads. Only inserts: pruning deletes rows, and no receiver needs that.
-- With the root option a partitioned outbox keeps its name in the stream; see walpost.partition_outbox.

CREATE PUBLICATION walpost FOR TABLE walpost.outbox WITH (publish = 'insert', publish_via_partition_root = true);

COMMENT ON PUBLICATION walpost IS 'New rows of walpost.outbox, for the slot of the walpost relay.';
