// pg-transactional-outbox: its replication listener as in its own example, one message after the other.
import {
  createReplicationMutexConcurrencyController,
  DatabaseSetup,
  getDisabledLogger,
  initializeReplicationMessageListener,
} from 'pg-transactional-outbox';
import { newPool, payloadOf } from './common.mjs';

const NAMES = { schema: 'public', table: 'outbox', publication: 'peer_outbox', replicationSlot: 'peer_outbox' };

export async function prepare(url) {
  const pool = newPool(url, 1);
  await pool.query(DatabaseSetup.dropAndCreateTable({ outboxOrInbox: 'outbox', ...NAMES }));
  await pool.query(DatabaseSetup.setupReplicationCore({ listenerRole: 'postgres', ...NAMES }));
  await pool.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${NAMES.replicationSlot}'`,
  );
  await pool.query(`SELECT pg_create_logical_replication_slot('${NAMES.replicationSlot}', 'pgoutput')`);
  await pool.end();
}

const INSERT = `INSERT INTO public.outbox (id, aggregate_type, aggregate_id, message_type, segment, payload)
  SELECT gen_random_uuid(), 'cataloging_job', p->>'jobId', p->>'event_type', p->>'organization_id', p FROM jsonb_array_elements($1::jsonb) AS p`;

export async function fill(url, events, organizations) {
  const pool = newPool(url, 1);
  for (let first = 0; first < events; first += 10) {
    const payloads = Array.from({ length: 10 }, (_, k) => payloadOf(first + k, organizations));
    await pool.query({ name: 'fill', text: INSERT, values: [JSON.stringify(payloads)] });
  }
  await pool.end();
}

export function writer(url, organizations) {
  const pool = newPool(url);
  return (n) => pool.query({ name: 'w', text: INSERT, values: [JSON.stringify([payloadOf(n, organizations)])] });
}

export async function consume(url, deliver, concurrencyStrategy = createReplicationMutexConcurrencyController()) {
  const { hostname, port, username, password, pathname } = new URL(url);
  const [shutdown] = initializeReplicationMessageListener(
    {
      outboxOrInbox: 'outbox',
      dbListenerConfig: {
        host: hostname,
        port: Number(port),
        user: username,
        password: decodeURIComponent(password),
        database: pathname.slice(1),
      },
      settings: {
        dbSchema: 'public',
        dbTable: 'outbox',
        enableMaxAttemptsProtection: false,
        enablePoisonousMessageProtection: false,
        dbPublication: NAMES.publication,
        dbReplicationSlot: NAMES.replicationSlot,
      },
    },
    { handle: (message) => deliver(message.payload) },
    getDisabledLogger(),
    { concurrencyStrategy },
  );
  return shutdown;
}
