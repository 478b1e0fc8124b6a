/** The subscriber on Supabase Realtime: the real client library, and the project's stand-in for the server. */
import { RealtimeClient, type WebSocketLikeConstructor } from '@supabase/realtime-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import {
  createSubscriber,
  realtimeSource,
  type RealtimeSourceOptions,
  type Subscriber,
} from '../../packages/consumer/src/subscribe/index.ts';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import type { Event } from '../../src/event.ts';
import { createRealtimeSink } from '../../src/sinks/realtime/realtime-sink.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { liveToken } from '../support/live-reader.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RealtimeFake, type RealtimeFakeOptions } from '../support/realtime-fake.ts';
import { sampleBatch, sampleEvent, type SampleFields } from '../support/sample-event.ts';

const A = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000a';
const never = new AbortController().signal;
const everything = { read: () => true, write: () => true };
const keys: Record<string, RealtimeFakeOptions['keys'][string]> = { service: everything, member: everything };

let fake: RealtimeFake;
let client: RealtimeClient;
let subscriber: Subscriber<Record<string, unknown>> | undefined;
beforeEach(async () => {
  fake = await RealtimeFake.start({ keys });
  // The library's type asks for more than it uses.
  const transport = WebSocket as unknown as WebSocketLikeConstructor;
  client = new RealtimeClient(fake.socketUrl, { params: { apikey: 'member' }, transport });
});
afterEach(async () => {
  subscriber?.close();
  await client.removeAllChannels();
  await client.disconnect();
  await fake[Symbol.asyncDispose]();
});

type ClientChannel = ReturnType<RealtimeClient['channel']>;

class Reader {
  readonly told: unknown[] = [];
  readonly errors: unknown[] = [];
  readonly whys: string[] = [];
  private waiting: (() => void)[] = [];

  constructor(options: Partial<RealtimeSourceOptions<ClientChannel>> = {}) {
    subscriber = createSubscriber({
      source: realtimeSource({ client, ...options }),
      // The library closes its socket without waiting when the last channel is removed.
      retry: { base: 400, most: 400 },
      onError: (error) => this.note(this.errors, error),
    });
    subscriber.subscribe(A, {
      events: { '*': ({ event_id, event_type, payload }) => this.note(this.told, [event_id, event_type, payload]) },
      onEntity: ({ entity_id, event_id }) => this.note(this.told, [entity_id, event_id]),
      onReset: () => this.note(this.told, 'reset'),
      onStatus: (status) => {
        if (status.state === 'waiting') this.note(this.whys, status.why);
      },
    });
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  async gets(count: number): Promise<readonly unknown[]> {
    await this.until(() => this.told.length >= count);
    return this.told;
  }

  private note<Noted>(list: Noted[], what: Noted): void {
    list.push(what);
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

const eventOf = (fields: SampleFields = {}): Event =>
  sampleEvent({ organizationId: A, entityType: 'job', entityId: '7', payload: '{"n":1}', ...fields });

/** As walpost sends them. */
async function deliver(form: 'events' | 'list' | 'invalidate', events: readonly Event[]): Promise<void> {
  const config = sinkSchema.parse({ type: 'realtime', url: fake.url, key: 'service', allow_private: true, form });
  const sink = createRealtimeSink(config as SinkConfigOf<'realtime'>, contractContext);
  const verdicts = await sink.deliver(sampleBatch([...events]), never);
  expect([verdicts].flat().every(({ kind }) => kind === 'delivered')).toBe(true);
  await sink.close();
}

test('each form arrives, repeats are dropped whatever form they have', async () => {
  const reader = new Reader();
  await reader.gets(1);
  const [one, two] = [eventOf(), eventOf({ eventType: 'job.gone' })];
  await deliver('events', [one]);
  await deliver('list', [one, two]);
  const three = eventOf();
  await deliver('invalidate', [two, three]);
  expect(await reader.gets(4)).toEqual([
    'reset',
    [one.eventId, one.eventType, { n: 1 }],
    [two.eventId, 'job.gone', undefined],
    ['7', three.eventId],
  ]);
  expect(reader.errors).toEqual([]);
});

test('after a cut it joins anew, and tells to read the state, since Realtime keeps nothing', async () => {
  const reader = new Reader();
  await reader.gets(1);
  fake.disconnectAll();
  await reader.gets(2);
  const event = eventOf();
  await deliver('events', [event]);
  expect(await reader.gets(3)).toEqual(['reset', 'reset', [event.eventId, event.eventType, { n: 1 }]]);
  expect(client.getChannels()).toHaveLength(1);
});

test('a refused token is asked for anew', async () => {
  const given: boolean[] = [];
  const good = await liveToken({ organization: A });
  keys[good] = everything;
  const reader = new Reader({
    token: (_organization, { renew }) => {
      given.push(renew);
      return renew ? good : 'a token that nobody knows';
    },
  });
  await reader.gets(1);
  expect(given).toEqual([false, true]);
  expect(reader.whys[0]).toContain('JwtSignatureError');
});

test('a token is renewed a minute before it expires, and the channel stays open', async () => {
  const clock = new ManualClock();
  const tokens = [1_000, 2_000, 3_000].map((seconds) =>
    liveToken({ organization: A, exp: clock.wallTime() / 1000 + seconds }),
  );
  for (const token of await Promise.all(tokens)) keys[token] = everything;
  const given: boolean[] = [];
  const reader = new Reader({
    clock,
    token: (_organization, { renew }) => {
      given.push(renew);
      return tokens[given.length - 1] ?? '';
    },
  });
  await reader.gets(1);
  await clock.advance(939_999);
  expect(given).toEqual([false]);
  await clock.advance(1);
  expect(given).toEqual([false, true]);
  await clock.advance(1_000_000);
  expect([given, reader.told, reader.whys]).toEqual([[false, true, true], ['reset'], []]);
});

test('a channel that is left is removed from the client', async () => {
  const reader = new Reader({ channel: 'of-{organization_id}' });
  await reader.gets(1);
  expect(client.getChannels().map(({ topic }) => topic)).toEqual([`realtime:of-${A}`]);
  subscriber?.close();
  while (client.getChannels().length > 0) await new Promise((resolve) => setImmediate(resolve));
});

test('a client that cannot take a token is refused when the source is made', () => {
  const without = { channel: () => client.channel('x'), removeChannel: () => Promise.resolve() };
  expect(() => realtimeSource({ client: without, token: () => '' })).toThrow(TypeError);
});
