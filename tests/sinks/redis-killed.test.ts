/** The real process with both sinks of Redis, while it and Redis are killed in the middle of a load. */
import { expect, test } from 'vitest';
import { tellFigures } from '../e2e/kill-figures.ts';
import {
  firstOfEach,
  KILL_CONFIG,
  KILL_LOAD,
  loadThroughKills,
  type NumberedEnvelope,
  orderFaults,
  readEnvelope,
} from '../e2e/through-kills.ts';
import { createTestDatabase } from '../support/database.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';
import { poll } from '../support/slot-session.ts';

const missing = await redisMissing();
const { rate, patience } = KILL_LOAD;

async function entries({ admin }: RedisServer): Promise<NumberedEnvelope[]> {
  return (await admin.xrange('all', '-', '+')).map(([, fields]) => readEnvelope(fields.at(-1)));
}

async function jobs({ admin }: RedisServer): Promise<NumberedEnvelope[]> {
  const ids = (await admin.lrange('bull:all:wait', 0, -1)).toReversed();
  return Promise.all(ids.map(async (id) => readEnvelope(await admin.hget(`bull:all:${id}`, 'data'))));
}

test.skipIf(missing)(
  `killed with Redis, walpost loses nothing and keeps the order ${missing ?? ''}`,
  async () => {
    await using database = await createTestDatabase();
    await using redis = await RedisServer.start();
    const sinks = {
      jobs: { type: 'bullmq', url: redis.url, queue: 'all', rate },
      stream: { type: 'redis', url: redis.url, stream: 'all', rate },
    };
    const run = await loadThroughKills(
      { database, sinks, config: KILL_CONFIG },
      {
        count: () => redis.admin.xlen('all'),
        kill: () => redis.kill(),
        async restart() {
          await redis.restart();
          await poll('Redis answers', async () => (await redis.admin.ping().catch(() => '')) === 'PONG' || undefined);
        },
      },
    );
    await using relay = run.relay;
    const { total } = run;
    await poll(
      'all jobs are there',
      async () => (await redis.admin.llen('bull:all:wait')) >= total || undefined,
      patience,
    );
    await poll(
      'all entries are there',
      async () => firstOfEach(await entries(redis)).length >= total || undefined,
      patience,
    );
    expect(run.killedAt.every((count) => count > 0 && count < total)).toBe(true);
    const added = await jobs(redis);
    expect(tellFigures('bullmq', run, added)).toMatchObject({ arrived: total, repeated: 0, lost: 0 });
    expect(orderFaults(added, run)).toEqual([]);
    const stored = await entries(redis);
    expect(tellFigures('redis', run, stored)).toMatchObject({ lost: 0, outOfOrder: 0 });
    expect(orderFaults(firstOfEach(stored), run)).toEqual([]);
    expect((await relay.stop()).code).toBe(0);
  },
  patience * 2,
);
