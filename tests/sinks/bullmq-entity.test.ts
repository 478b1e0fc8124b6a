/** The real process with `order: entity` at BullMQ, while Redis is killed in the middle of a load, with walpost and alone. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { KILL_CONFIG } from '../e2e/through-kills.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';
import { poll } from '../support/slot-session.ts';

const missing = await redisMissing();
const ENTITIES = 12;
const ROUNDS = 150;
const TOTAL = ENTITIES * ROUNDS;
const QUEUES = [0, 1, 2, 3].map((place) => `jobs-${place}`);
const PATIENCE = 60_000;

interface Job {
  readonly entity_id: string;
  readonly payload: { readonly n: number };
}

/** Each transaction has the next event of every entity. */
async function write(database: TestDatabase): Promise<void> {
  const organization = randomUUID();
  for (let n = 1; n <= ROUNDS; n++) {
    await database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, topic, entity_type, entity_id, payload)
       SELECT $1, 'order.changed', 'orders', 'order', 'e' || i, jsonb_build_object('n', $2::int)
         FROM generate_series(1, $3::int) AS i`,
      [organization, n, ENTITIES],
    );
  }
}

async function count({ admin }: RedisServer): Promise<number> {
  const lengths = await Promise.all(QUEUES.map((queue) => admin.llen(`bull:${queue}:wait`)));
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** The jobs that wait, first in first. */
async function jobs({ admin }: RedisServer, queue: string): Promise<Job[]> {
  const ids = (await admin.lrange(`bull:${queue}:wait`, 0, -1)).toReversed();
  return Promise.all(ids.map(async (id) => JSON.parse((await admin.hget(`bull:${queue}:${id}`, 'data')) ?? '') as Job));
}

test.skipIf(missing)(
  `with order: entity each entity has its jobs once and in order, through restarts of Redis ${missing ?? ''}`,
  { timeout: 3 * PATIENCE },
  async () => {
    await using database = await createTestDatabase();
    await using redis = await RedisServer.start();
    const sink = { type: 'bullmq', url: redis.url, order: 'entity', queue: 'jobs-{entity_hash:4}', rate: '300/s' };
    const options = { database, sinks: { jobs: sink }, config: KILL_CONFIG };
    const reaches = (jobCount: number): Promise<true> =>
      poll(`${jobCount} jobs`, async () => (await count(redis)) >= jobCount || undefined, PATIENCE);
    const restart = async (): Promise<void> => {
      await redis.restart();
      await poll('Redis answers', async () => (await redis.admin.ping().catch(() => '')) === 'PONG' || undefined);
    };
    let relay = await RunningWalpost.start(options);
    try {
      const writing = write(database);
      await reaches(TOTAL / 6);
      await redis.kill();
      await restart();
      await reaches(TOTAL / 2);
      await redis.kill();
      await relay[Symbol.asyncDispose](); // SIGKILL
      await restart();
      expect(await count(redis)).toBeLessThan(TOTAL);
      relay = await RunningWalpost.start(options);
      await writing;
      await reaches(TOTAL);
      expect((await relay.stop()).code).toBe(0);
    } finally {
      await relay[Symbol.asyncDispose]();
    }
    const perQueue = await Promise.all(QUEUES.map((queue) => jobs(redis, queue)));
    expect(perQueue.filter((each) => each.length > 0).length).toBeGreaterThan(1);
    for (let entity = 1; entity <= ENTITIES; entity++) {
      const held = perQueue.map((each) => each.filter(({ entity_id }) => entity_id === `e${entity}`));
      const own = held.filter((each) => each.length > 0);
      expect(own.map((each) => each.map(({ payload }) => payload.n))).toEqual([
        Array.from({ length: ROUNDS }, (_, at) => at + 1),
      ]);
    }
  },
);
