/** The real process with both sinks of Redis, while it and Redis are killed in the middle of a load. */
import { expect, test } from 'vitest';
import { mixedLoad, OrderCheck, prepareLoad, writeLoad } from '../e2e/numbered-load.ts';
import { RunningWalpost, type RunOptions } from '../e2e/running-walpost.ts';
import { createTestDatabase } from '../support/database.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';
import { poll } from '../support/slot-session.ts';

const missing = await redisMissing();
const isLong = process.env['WALPOST_LONG'] === '1';
/** 50,000 events, or 3,500; the rate leaves time for the kills. */
const { scale, rate } = isLong ? { scale: 0.5, rate: '6000/s' } : { scale: 0.03, rate: '600/s' };
const KILLS = 3;
const PATIENCE = isLong ? 240_000 : 120_000;

type Envelope = {
  readonly event_id: string;
  readonly organization_id: string;
  readonly payload: { readonly n: number };
};

const read = (text: string | null | undefined): Envelope => JSON.parse(text ?? 'null') as Envelope;

async function entries({ admin }: RedisServer): Promise<Envelope[]> {
  return (await admin.xrange('all', '-', '+')).map(([, fields]) => read(fields.at(-1)));
}

async function jobs({ admin }: RedisServer): Promise<Envelope[]> {
  const ids = (await admin.lrange('bull:all:wait', 0, -1)).toReversed();
  return Promise.all(ids.map(async (id) => read(await admin.hget(`bull:all:${id}`, 'data'))));
}

/** Each id where it appears first. */
function firsts(envelopes: readonly Envelope[]): Envelope[] {
  return [...new Map(envelopes.toReversed().map((envelope) => [envelope.event_id, envelope])).values()].toReversed();
}

function orderFaults(envelopes: readonly Envelope[], committed: ReadonlyMap<string, number>): string[] {
  const check = new OrderCheck();
  check.take({ events: envelopes } as unknown as Parameters<OrderCheck['take']>[0]);
  return check.faults(committed);
}

test.skipIf(missing)(
  `killed with Redis, walpost loses nothing and keeps the order ${missing ?? ''}`,
  async () => {
    await using database = await createTestDatabase();
    await using redis = await RedisServer.start();
    await prepareLoad(database);
    const options: RunOptions = {
      database,
      sinks: {
        jobs: { type: 'bullmq', url: redis.url, queue: 'all', rate },
        stream: { type: 'redis', url: redis.url, stream: 'all', rate },
      },
      config: {
        delivery: { backoff: ['200ms'], breaker: { reset_after: '200ms' } },
        batching: { window: '20ms' },
      },
    };
    let relay = await RunningWalpost.start(options);
    const writing = writeLoad(database, mixedLoad(scale));
    const killedAt: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const before = killedAt.at(-1) ?? 0;
      await poll(
        'some more arrived',
        async () => (await redis.admin.xlen('all')) > before + 300 || undefined,
        PATIENCE,
      );
      if (kill === 1) relay.cli.child.kill('SIGKILL');
      await redis.kill();
      if (kill !== 1) relay.cli.child.kill('SIGKILL');
      await relay[Symbol.asyncDispose]();
      await redis.restart();
      await poll('Redis answers', async () => (await redis.admin.ping().catch(() => '')) === 'PONG' || undefined);
      killedAt.push(await redis.admin.xlen('all'));
      relay = await RunningWalpost.start(options);
    }
    // Once more Redis alone, while the process lives.
    await redis.kill();
    await redis.restart();
    const committed = await writing;
    const total = [...committed.values()].reduce((sum, count) => sum + count, 0);
    await poll(
      'all jobs are there',
      async () => (await redis.admin.llen('bull:all:wait')) >= total || undefined,
      PATIENCE,
    );
    await poll(
      'all entries are there',
      async () => firsts(await entries(redis)).length >= total || undefined,
      PATIENCE,
    );
    expect(killedAt.every((count) => count > 0 && count < total)).toBe(true);
    const added = await jobs(redis);
    expect(added).toHaveLength(total);
    expect(new Set(added.map(({ event_id }) => event_id)).size).toBe(total);
    expect(orderFaults(added, committed)).toEqual([]);
    expect(orderFaults(firsts(await entries(redis)), committed)).toEqual([]);
    expect((await relay.stop()).code).toBe(0);
    await relay[Symbol.asyncDispose]();
  },
  PATIENCE * 2,
);
