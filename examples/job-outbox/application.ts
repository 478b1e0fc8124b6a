/** What the scripts of this folder need of the running example: its API, its database and its queues. */
import { setTimeout as pause } from 'node:timers/promises';
import { Queue } from 'bullmq';
import type pg from 'pg';
import { inOrganization } from '../support/in-organization.ts';
import { openPool } from '../support/pool.ts';
import { connectRedis } from './redis-connection.ts';
import { QUEUES, type QueueName } from './workers.ts';

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const WITHIN_MS = 20_000;
const LOOK_MS = 20;

export class Application implements AsyncDisposable {
  readonly env = process.env;
  readonly pool = openPool(process.env['APP_URL'], 10, 'courses script');
  readonly redis = connectRedis(3);
  readonly queues = new Map<QueueName, Queue>(
    QUEUES.map((name) => [name, new Queue(name, { connection: this.redis, skipVersionCheck: true })]),
  );

  constructor() {
    for (const queue of this.queues.values()) queue.on('error', () => undefined);
  }

  get api(): string {
    return `http://127.0.0.1:${this.env['API_PORT']}`;
  }

  get walpost(): string {
    return `http://127.0.0.1:${this.env['WALPOST_PORT']}`;
  }

  /** Starts a course as a user does. */
  async post(organizationId: string, key: string, body: object): Promise<Answer> {
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': key,
      'x-organization-id': organizationId,
    };
    const answer = await fetch(`${this.api}/courses`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, body: (await answer.json()) as Answer['body'] };
  }

  /** Asks the database as the application, for one organization. */
  async rows<Row extends pg.QueryResultRow>(
    organizationId: string,
    sql: string,
    values: unknown[] = [],
  ): Promise<Row[]> {
    const { rows } = await inOrganization(this.pool, organizationId, (tx) => tx.query<Row>(sql, values));
    return rows;
  }

  /** Jobs of a course in one queue, in whatever state. */
  async jobsOf(queue: QueueName, courseId: string): Promise<string[]> {
    const found = await this.queues.get(queue)?.getJobs(['wait', 'active', 'delayed', 'completed', 'failed']);
    return (found ?? [])
      .filter((job) => (job.data as { entity_id?: string }).entity_id === courseId)
      .map((job) => job.id ?? '');
  }

  /** The sum of a metric over its labels, or over those that are given. */
  async metric(port: string | undefined, name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.split(/[ {]/)[0] === name && line.includes(labels));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.queues.values()) await queue.close();
    this.redis.disconnect();
    await this.pool.end();
  }
}

/** Looks again and again until there is an answer. */
export async function until<T>(what: string, look: () => Promise<T | undefined>, withinMs = WITHIN_MS): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs / 1000} s`);
    await pause(LOOK_MS);
  }
}
