-- The public contract of the schema, for pgTAP: run in one transaction that is rolled back.
SELECT no_plan();

SELECT has_table('walpost', t, t || ' is there')
  FROM unnest('{outbox,parked,dead_letters,checkpoints,cursor,jobs,emit_keys,idempotency_keys,settings,delivery_log,lanes,command_results}'::name[]) AS t;
SELECT has_view('walpost', v, v || ' is there')
  FROM unnest('{health,organization_health,cursor_health,wal_holders,alerts,event_timeline,queue_status,error_summary,captures}'::name[]) AS v;
SELECT has_role(r) FROM unnest('{walpost_publisher,walpost_relay,walpost_operator,walpost_reader}'::name[]) AS r;

SELECT columns_are('walpost', 'outbox', ARRAY[
  'event_id', 'seq', 'organization_id', 'event_type', 'event_version', 'topic', 'entity_type', 'entity_id', 'target',
  'idempotency_key', 'payload', 'headers', 'created_at', 'created_xid', 'expires_at', 'redacted_at']);
SELECT col_type_is('walpost', 'outbox', 'created_xid', 'xid8', 'created_xid is a whole transaction id');
SELECT col_is_pk('walpost', 'outbox', 'event_id', 'the event is its id');
SELECT has_index('walpost', 'outbox', 'outbox_created_xid_seq_idx', ARRAY['created_xid', 'seq'], 'the order of scans');

SELECT function_returns('walpost', 'publish',
  ARRAY['uuid', 'text', 'jsonb', 'text', 'text', 'text', 'text', 'jsonb', 'text', 'integer', 'text', 'timestamp with time zone'], 'uuid');
SELECT function_returns('walpost', 'publish_many', ARRAY['jsonb', 'text'], 'setof uuid');
SELECT function_returns('walpost', 'emit',
  ARRAY['uuid', 'text', 'jsonb', 'text', 'text', 'text', 'text', 'jsonb', 'integer', 'timestamp with time zone'], 'uuid');
SELECT function_returns('walpost', 'rotate_emit_key', ARRAY['interval'], 'integer');
SELECT function_returns('walpost', 'prune', ARRAY['interval', 'integer'], 'bigint');
SELECT function_returns('walpost', 'event_status', ARRAY['uuid'], 'text');
SELECT isnt_definer('walpost', 'publish', 'publish runs with the rights of its caller');
SELECT is_definer('walpost', 'emit', 'emit reads the key, which its caller may not');
SELECT is_definer('walpost', 'prune', 'prune sees every row');

SELECT policies_are('walpost', t, ARRAY['organization', 'walpost_relay', 'walpost_operator'], 'policies of ' || t)
  FROM unnest('{outbox,idempotency_keys,command_results,parked,dead_letters,delivery_log,lanes}'::name[]) AS t;
SELECT policy_roles_are('walpost', 'outbox', 'walpost_relay', ARRAY['walpost_relay'], 'the relay has a policy of its own');

SELECT table_privs_are('walpost', 'outbox', 'walpost_reader', ARRAY['SELECT'], 'a reader reads');
SELECT table_privs_are('walpost', 'outbox', 'walpost_relay', ARRAY['SELECT'], 'a relay reads');
SELECT table_privs_are('walpost', 'outbox', 'walpost_publisher', ARRAY[]::text[], 'a publisher has rights on columns only');
SELECT column_privs_are('walpost', 'outbox', c, 'walpost_publisher', ARRAY['SELECT'], 'a publisher does not set ' || c)
  FROM unnest('{seq,created_at,created_xid}'::name[]) AS c;
SELECT column_privs_are('walpost', 'outbox', 'payload', 'walpost_publisher', ARRAY['INSERT', 'SELECT'], 'a publisher sets the payload');
SELECT table_privs_are('walpost', 'emit_keys', r, CASE r WHEN 'walpost_relay' THEN ARRAY['SELECT'] ELSE ARRAY[]::text[] END, 'keys and ' || r)
  FROM unnest('{walpost_publisher,walpost_relay,walpost_operator,walpost_reader}'::name[]) AS r;
SELECT function_privs_are('walpost', 'emit', ARRAY['uuid', 'text', 'jsonb', 'text', 'text', 'text', 'text', 'jsonb', 'integer', 'timestamp with time zone'], r,
    CASE r WHEN 'walpost_publisher' THEN ARRAY['EXECUTE'] ELSE ARRAY[]::text[] END, 'emit and ' || r)
  FROM unnest('{walpost_publisher,walpost_relay,walpost_operator,walpost_reader}'::name[]) AS r;
SELECT policies_are('walpost', 'emit_keys', ARRAY['relay'], 'policies of emit_keys');
SELECT schema_privs_are('walpost', 'walpost_publisher', ARRAY['USAGE'], 'a publisher makes nothing in the schema');

-- As a publisher of one organization, with a relay that delivers messages.
INSERT INTO walpost.cursor (slot, system_identifier, timeline, messages) VALUES ('tap', '1', 1, true);
SET LOCAL ROLE walpost_publisher;
SET LOCAL app.current_org_id = '11111111-1111-4111-8111-111111111111';
RESET ROLE;
GRANT USAGE ON SCHEMA public TO walpost_publisher;
SET LOCAL ROLE walpost_publisher;
SELECT lives_ok($$SELECT walpost.publish('11111111-1111-4111-8111-111111111111', 'a', '{}', idempotency_key => 'k')$$, 'its own');
SELECT throws_ok($$SELECT walpost.publish('22222222-2222-4222-8222-222222222222', 'a', '{}')$$, '42501');
SELECT throws_ok($$SELECT walpost.publish('11111111-1111-4111-8111-111111111111', '', '{}')$$, '22023',
  'walpost.publish: event_type must have 1 to 255 characters, not 0');
SELECT lives_ok($$SELECT walpost.emit('11111111-1111-4111-8111-111111111111', 'a', '{}')$$, 'its own, without a row');
SELECT throws_ok($$SELECT walpost.emit('22222222-2222-4222-8222-222222222222', 'a', '{}')$$, '42501');
SELECT throws_ok($$SELECT walpost.emit('11111111-1111-4111-8111-111111111111', '', '{}')$$, '22023',
  'walpost.emit: event_type must have 1 to 255 characters, not 0');
SELECT throws_ok('SELECT secret FROM walpost.emit_keys', '42501');
SET LOCAL app.current_org_id = '';
SELECT throws_ok($$SELECT walpost.publish('11111111-1111-4111-8111-111111111111', 'a', '{}')$$, '42501');
RESET ROLE;
SELECT results_eq('SELECT count(*)::int FROM walpost.outbox', ARRAY[1], 'one event was written');

SELECT * FROM finish();
