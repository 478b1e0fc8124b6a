/** Sinks that make one request for each event: what their timeout means. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Batch, Verdict } from '../../src/pipeline.ts';
import { GuardedSink } from '../../src/sinks/guard/guarded-sink.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { sortVerdicts } from '../../src/router/lanes/sort-verdicts.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const TIMEOUT = 10_000;

let clock: ManualClock;
let server: Server;
let url: string;
/** Each answer takes this long; undefined: none comes. */
let takes: (request: number) => number | undefined;
/** The bodies of all requests. */
let seen: string[];

beforeEach(async () => {
  clock = new ManualClock();
  seen = [];
  server = createServer((request, response) => {
    request.setEncoding('utf8');
    let body = '';
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      const time = takes(seen.push(body) - 1);
      if (time === undefined) return void clock.advance(TIMEOUT);
      void clock.advance(time).then(() => response.writeHead(202).end());
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const KINDS = {
  webhook: { type: 'webhook', batch: false },
  realtime: { type: 'realtime', key: 'service' },
};

async function guarded(options: object): Promise<GuardedSink> {
  const config = sinkSchema.parse({ ...options, url, allow_private: true });
  const sink = await createSink(config, { ...contractContext, clock });
  const breaker = { failure_rate: 0.5, minimum_organizations: 5, reset_after: 10_000 };
  return new GuardedSink({ name: 'slow', sink, concurrency: 4, timeout: TIMEOUT, breaker, clock });
}

async function deliver(options: object, batch: Batch): Promise<readonly Verdict[]> {
  const sink = await guarded(options);
  const verdicts = await sink.deliver(batch);
  await sink.close();
  return Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : [verdicts as Verdict];
}

describe.each(Object.entries(KINDS))('%s', (_name, options) => {
  test('a hundred requests of 150 ms are none too many for a timeout of 10 s: each event is sent once', async () => {
    takes = () => 150;
    const { events } = sampleBatch(Array.from({ length: 100 }, () => sampleEvent()));
    let rest = events;
    for (let turn = 0; rest.length > 0 && turn < 5; turn++) {
      const sorted = sortVerdicts(rest, await deliver(options, sampleBatch(rest)));
      expect(sorted.failure).toBeUndefined();
      rest = sorted.rest;
    }
    expect(rest).toEqual([]);
    expect(seen).toHaveLength(100);
    expect(new Set(seen).size).toBe(100);
  });

  test('a request has the whole timeout, however late it begins, and none begins after that', async () => {
    takes = () => 9_900;
    const events = Array.from({ length: 4 }, () => sampleEvent());
    const verdicts = await deliver(options, sampleBatch(events));
    expect(verdicts.map(({ kind }) => kind)).toEqual(['delivered', 'delivered', 'unavailable', 'unavailable']);
    expect(verdicts.slice(2)).toEqual(Array(2).fill(expect.objectContaining({ unsent: true })));
    expect(seen).toHaveLength(2);
  });

  test('one that gets no answer is cut off after the timeout, and counts as a failure', async () => {
    takes = (request) => (request === 0 ? 5_000 : undefined);
    const events = Array.from({ length: 3 }, () => sampleEvent());
    const verdicts = await deliver(options, sampleBatch(events));
    expect(verdicts.map(({ kind }) => kind)).toEqual(['delivered', 'unavailable', 'unavailable']);
    expect(sortVerdicts(events, verdicts)).toMatchObject({ failure: { size: 1, verdict: { kind: 'unavailable' } } });
    expect(clock.now()).toBe(15_000);
  });
});
