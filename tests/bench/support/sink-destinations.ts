/**
 * The destinations of `bench:sinks`: a server, how walpost is configured for it, and the best loop that its own client
 * allows, for the same bodies. A further sink is one more entry of DESTINATIONS.
 */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { jetstream, StorageType } from '@nats-io/jetstream';
import { headers as natsHeaders } from '@nats-io/transport-node';
import { newPool } from '../../support/client.ts';
import { addStream, NatsServer } from '../../support/nats-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { startEmbeddedPostgres } from '../../../src/demo/postgres/embedded-postgres.ts';
import { ROOT } from './report.ts';

export interface BodyToSend {
  readonly id: string;
  /** The envelope, as JSON. */
  readonly text: string;
}

export interface OpenDestination extends AsyncDisposable {
  readonly sink: Readonly<Record<string, unknown>>;
  /** Sends one batch with the client itself. */
  send(bodies: readonly BodyToSend[]): Promise<unknown>;
  /** What has arrived since `clear`. */
  count(): Promise<number>;
  clear(): Promise<unknown>;
}

/** Batches in flight at once, as the sinks have by default. */
export const IN_FLIGHT: Readonly<Record<string, number>> = { redis: 16, bullmq: 16, postgres: 4, nats: 64 };

export const DESTINATIONS: Readonly<Record<string, () => Promise<OpenDestination>>> = {
  redis: openRedis,
  bullmq: openBullmq,
  postgres: openPostgres,
  nats: openNats,
};

/** Nothing is written to a disk: the clients are compared, not the disks. */
const MEMORY = { settings: { appendonly: 'no' } };

async function openRedis(): Promise<OpenDestination> {
  const server = await RedisServer.start(MEMORY);
  const client = new Redis(server.url);
  return {
    sink: { type: 'redis', url: server.url, stream: 'all' },
    send: (bodies) => {
      const pipeline = client.pipeline();
      for (const { id, text } of bodies) {
        pipeline.xadd(
          'all',
          '*',
          'event_id',
          id,
          'event_type',
          'job.completed',
          'organization_id',
          id,
          'envelope',
          text,
        );
      }
      return pipeline.exec();
    },
    count: () => server.admin.xlen('all'),
    clear: () => server.admin.flushall(),
    async [Symbol.asyncDispose]() {
      client.disconnect();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function openBullmq(): Promise<OpenDestination> {
  const server = await RedisServer.start(MEMORY);
  const connection = new Redis(server.url);
  const queue = new Queue('all', { connection });
  return {
    sink: { type: 'bullmq', url: server.url, queue: 'all' },
    send: (bodies) =>
      queue.addBulk(
        bodies.map(({ id, text }) => ({
          name: 'job.completed',
          data: JSON.parse(text) as unknown,
          opts: { jobId: id },
        })),
      ),
    count: () => server.admin.llen('bull:all:wait'),
    clear: () => server.admin.flushall(),
    async [Symbol.asyncDispose]() {
      await queue.close();
      connection.disconnect();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function openPostgres(): Promise<OpenDestination> {
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off', max_wal_size: '4GB' } });
  const pool = newPool({ connectionString: server.url(), max: IN_FLIGHT['postgres'] });
  await pool.query(readFileSync(join(ROOT, 'sql/inbox/walpost_inbox.sql'), 'utf8'));
  const text = `INSERT INTO walpost_inbox (event_id, organization_id, event_type, topic, envelope)
                SELECT id, id, 'job.completed', 'billing', envelope::json
                  FROM unnest($1::text[], $2::text[]) AS body (id, envelope) ON CONFLICT (event_id) DO NOTHING`;
  return {
    sink: { type: 'postgres', url: server.url() },
    send: (bodies) => pool.query(text, [bodies.map(({ id }) => id), bodies.map((body) => body.text)]),
    count: async () => Number((await pool.query('SELECT count(*) AS n FROM walpost_inbox')).rows[0]?.n),
    clear: () => pool.query('TRUNCATE walpost_inbox'),
    async [Symbol.asyncDispose]() {
      await pool.end();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function openNats(): Promise<OpenDestination> {
  const server = await NatsServer.start();
  const connection = await server.connect();
  const manager = await addStream(connection, { storage: StorageType.Memory });
  const stream = jetstream(connection);
  return {
    sink: { type: 'nats', servers: [server.url], subject: 'walpost.all' },
    // One after the other, as a sink that keeps the order of an organization.
    async send(bodies) {
      for (const { id, text } of bodies) {
        const headers = natsHeaders();
        headers.set('Nats-Msg-Id', id);
        await stream.publish('walpost.all', text, { headers });
      }
    },
    count: async () => (await manager.streams.info('EVENTS')).state.messages,
    clear: () => manager.streams.purge('EVENTS'),
    async [Symbol.asyncDispose]() {
      await connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
