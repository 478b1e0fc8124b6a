/**
 * The destinations of `bench:sinks` that are databases: a server, how walpost is configured for it, and the best loop that
 * its own client allows, for the same messages.
 */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Event } from '../../../src/event.ts';
import { newPool } from '../../support/client.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { startEmbeddedPostgres } from '../../../src/demo/postgres/embedded-postgres.ts';
import { ROOT } from './report.ts';

/** One message of the client's loop, in the forms that clients take. */
export interface Message {
  readonly event: Event;
  /** The envelope, as JSON. */
  readonly text: string;
  readonly bytes: Buffer;
}

export interface OpenDestination extends AsyncDisposable {
  readonly sink: Readonly<Record<string, unknown>>;
  /** Options of Node with which walpost's process finds the client. */
  readonly nodeArgs?: readonly string[];
  /** Makes everything of a batch that can be made before the clock runs; what it returns sends it with the client itself. */
  prepare(messages: readonly Message[]): () => Promise<unknown>;
  /** What has arrived since `clear`. */
  count(): Promise<number>;
  clear(): Promise<unknown>;
}

/** As the sink has by default. */
const CONNECTIONS = 4;
/** Nothing is written to a disk: the clients are compared, not the disks. */
const MEMORY = { settings: { appendonly: 'no' } };

export async function openRedis(): Promise<OpenDestination> {
  const server = await RedisServer.start(MEMORY);
  const client = new Redis(server.url);
  return {
    sink: { type: 'redis', url: server.url, stream: 'all' },
    prepare: (messages) => () => {
      const pipeline = client.pipeline();
      for (const { event, text } of messages) {
        const names = [
          'event_id',
          event.eventId,
          'event_type',
          event.eventType,
          'organization_id',
          event.organizationId,
        ];
        pipeline.xadd('all', '*', ...names, 'envelope', text);
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

export async function openBullmq(): Promise<OpenDestination> {
  const server = await RedisServer.start(MEMORY);
  const connection = new Redis(server.url);
  const queue = new Queue('all', { connection });
  return {
    sink: { type: 'bullmq', url: server.url, queue: 'all' },
    prepare(messages) {
      const jobs = messages.map(({ event, text }) => ({
        name: event.eventType,
        data: JSON.parse(text) as unknown,
        opts: { jobId: event.eventId },
      }));
      return () => queue.addBulk(jobs);
    },
    count: () => server.admin.llen('bull:all:wait'),
    clear: () => server.admin.flushall(),
    async [Symbol.asyncDispose]() {
      await queue.close();
      connection.disconnect();
      await server[Symbol.asyncDispose]();
    },
  };
}

export async function openPostgres(): Promise<OpenDestination> {
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off', max_wal_size: '4GB' } });
  const pool = newPool({ connectionString: server.url(), max: CONNECTIONS });
  await pool.query(readFileSync(join(ROOT, 'sql/inbox/walpost_inbox.sql'), 'utf8'));
  const text = `INSERT INTO walpost_inbox (event_id, organization_id, event_type, topic, envelope)
                SELECT id, $2, event_type, topic, envelope::json
                  FROM unnest($1::text[], $3::text[], $4::text[], $5::text[]) AS message (id, event_type, topic, envelope)
                    ON CONFLICT (event_id) DO NOTHING`;
  return {
    sink: { type: 'postgres', url: server.url() },
    prepare(messages) {
      const values = [
        messages.map(({ event }) => event.eventId),
        messages[0]?.event.organizationId,
        messages.map(({ event }) => event.eventType),
        messages.map(({ event }) => event.topic),
        messages.map((message) => message.text),
      ];
      return () => pool.query({ name: 'insert', text, values });
    },
    count: async () => Number((await pool.query('SELECT count(*) AS n FROM walpost_inbox')).rows[0]?.n),
    clear: () => pool.query('TRUNCATE walpost_inbox'),
    async [Symbol.asyncDispose]() {
      await pool.end();
      await server[Symbol.asyncDispose]();
    },
  };
}
