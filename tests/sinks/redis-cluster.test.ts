import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Sink } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { redisMissing } from '../support/redis-server.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const missing = await redisMissing();
const never = (): AbortSignal => new AbortController().signal;

describe.skipIf(missing)(`a Redis Cluster ${missing ?? ''}`, () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  });
  afterAll(async () => cluster[Symbol.asyncDispose]());

  const sinkOf = (options: object): Promise<Sink> =>
    createSink(sinkSchema.parse({ url: cluster.url, cluster: cluster.further, ...options }), contractContext);

  const lengthOf = async (key: string): Promise<number> => {
    const lengths = await Promise.all(cluster.nodes.map(({ admin }) => admin.xlen(key).catch(() => 0)));
    return lengths.reduce((sum, length) => sum + length, 0);
  };

  test('streams are written on the nodes that hold them', async () => {
    await using sink = closing(await sinkOf({ type: 'redis', stream: 's:{topic}' }));
    const topics = Array.from({ length: 30 }, (_, at) => `t${at % 6}`);
    const verdicts = await sink.value.deliver(sampleBatch(topics.map((topic) => sampleEvent({ topic }))), never());
    expect([verdicts].flat().every(({ kind }) => kind === 'delivered')).toBe(true);
    expect(await Promise.all([0, 1, 2, 3, 4, 5].map((at) => lengthOf(`s:t${at}`)))).toEqual([5, 5, 5, 5, 5, 5]);
    const holders = await Promise.all(cluster.nodes.map(({ admin }) => admin.dbsize()));
    expect(holders.filter((keys) => keys > 0).length).toBeGreaterThan(1);
  });

  test('behind a stream that is refused nothing is written, on no node', async () => {
    await using sink = closing(await sinkOf({ type: 'redis', stream: 'r:{topic}' }));
    for (const { admin } of cluster.nodes) await admin.set('r:taken', 'x').catch(() => undefined);
    const events = ['a', 'taken', 'b', 'c', 'd'].map((topic) => sampleEvent({ topic }));
    expect(await sink.value.deliver(sampleBatch(events), never())).toMatchObject([
      { kind: 'delivered' },
      { kind: 'failed', code: 'REDIS_WRONGTYPE' },
      { kind: 'unavailable' },
      { kind: 'unavailable' },
      { kind: 'unavailable' },
    ]);
    expect(await Promise.all(['b', 'c', 'd'].map((topic) => lengthOf(`r:${topic}`)))).toEqual([0, 0, 0]);
  });

  test('jobs of several queues are one transaction in the slot of the hash tag', async () => {
    await using sink = closing(await sinkOf({ type: 'bullmq', prefix: '{walpost}' }));
    const events = ['a', 'b', 'c'].map((topic) => sampleEvent({ topic }));
    expect([await sink.value.deliver(sampleBatch(events), never())].flat().map(({ kind }) => kind)).toEqual([
      'delivered',
      'delivered',
      'delivered',
    ]);
  });

  test('without a hash tag the configuration is refused', async () => {
    await expect(sinkOf({ type: 'bullmq' })).rejects.toThrow(/prefix needs a hash tag in a cluster, such as {walpost}/);
  });
});

function closing(value: Sink): AsyncDisposable & { readonly value: Sink } {
  return { value, [Symbol.asyncDispose]: () => value.close() };
}
