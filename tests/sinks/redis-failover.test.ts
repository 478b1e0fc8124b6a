/** Both sinks of Redis while a replica takes over from its primary, behind one address, as a load balancer or a DNS name has it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const missing = await redisMissing();
const never = new AbortController().signal;
const BATCH = 20;
const PATIENCE = 120_000;

interface Trial {
  readonly type: 'redis' | 'bullmq';
  /** Ids of the events that the server has, in its order. */
  readonly stored: (server: RedisServer) => Promise<string[]>;
}

const TRIALS: readonly Trial[] = [
  {
    type: 'redis',
    stored: async ({ admin }) =>
      (await admin.xrange('walpost:cataloging', '-', '+')).map(([, fields]) => fields[1] ?? ''),
  },
  { type: 'bullmq', stored: async ({ admin }) => (await admin.lrange('bull:cataloging:wait', 0, -1)).toReversed() },
];

/** As the router does: what was not delivered is sent again, in order. Collects the codes of what was told meanwhile. */
async function deliverAll(sink: Sink, events: readonly Event[], codes = new Set<string>()): Promise<void> {
  let left = events;
  while (left.length > 0) {
    const sent = left.slice(0, BATCH);
    const answer = await sink.deliver(sampleBatch(sent), never);
    const verdicts = Array.isArray(answer) ? (answer as readonly Verdict[]) : sent.map(() => answer as Verdict);
    for (const verdict of verdicts) if (verdict.kind === 'unavailable') codes.add(verdict.code ?? '');
    left = left.filter((_, place) => verdicts[place]?.kind !== 'delivered');
    await new Promise(setImmediate);
  }
}

describe.skipIf(missing).for(TRIALS)(`$type ${missing ?? ''}`, { timeout: PATIENCE }, ({ type, stored }) => {
  const events = Array.from({ length: 600 }, () => sampleEvent());
  let first: RedisServer;
  let second: RedisServer;
  let proxy: TcpProxy;
  let sink: Sink;
  beforeEach(async () => {
    first = await RedisServer.start();
    second = await RedisServer.start();
    await second.admin.call('REPLICAOF', '127.0.0.1', first.port);
    await caughtUp();
    proxy = await TcpProxy.start({ host: '127.0.0.1', port: first.port });
    sink = await createSink(sinkSchema.parse({ type, url: `redis://127.0.0.1:${proxy.port}` }), contractContext);
  });
  afterEach(async () => {
    await sink.close();
    for (const each of [proxy, first, second]) await each[Symbol.asyncDispose]();
  });

  /** Nothing is written meanwhile. */
  async function caughtUp(): Promise<void> {
    await poll('the replica has everything', async () => {
      const own = /master_repl_offset:(\d+)/.exec(await first.admin.info('replication'))?.[1];
      const replicas = await second.admin.info('replication');
      const isUp = replicas.includes('master_link_status:up');
      return (isUp && /slave_repl_offset:(\d+)/.exec(replicas)?.[1] === own) || undefined;
    });
  }

  const someArrived = (): Promise<true> =>
    poll('some are replicated', async () => (await stored(second)).length > 60 || undefined);

  test('the former primary becomes a replica: nothing is lost, and the order is kept', async () => {
    const codes = new Set<string>();
    const delivering = deliverAll(sink, events, codes);
    await someArrived();
    await first.admin.call('CLIENT', 'PAUSE', '100000', 'WRITE');
    await caughtUp();
    await second.admin.call('REPLICAOF', 'NO', 'ONE');
    await first.admin.call('REPLICAOF', '127.0.0.1', second.port);
    await first.admin.call('CLIENT', 'UNPAUSE');
    await poll('the sink is refused', async () => codes.has('REDIS_READONLY') || undefined);
    proxy.redirect({ host: '127.0.0.1', port: second.port });
    await delivering;
    expect([...new Set(await stored(second))]).toEqual(events.map(({ eventId }) => eventId));
  });

  test('the former primary is gone: nothing that was replicated is lost, and the order is kept', async () => {
    const delivering = deliverAll(sink, events);
    await someArrived();
    proxy.hold();
    await caughtUp();
    await first.kill();
    await second.admin.call('REPLICAOF', 'NO', 'ONE');
    proxy.redirect({ host: '127.0.0.1', port: second.port });
    proxy.forward();
    proxy.cut();
    await delivering;
    const ids = await stored(second);
    expect([...new Set(ids)]).toEqual(events.map(({ eventId }) => eventId));
    if (type === 'bullmq') expect(ids).toHaveLength(events.length);
  });
});
