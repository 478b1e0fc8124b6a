/** The subscriber on the real live channel: by fetch, and by an EventSource with a ticket. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  createSubscriber,
  type EventSourceLike,
  liveSource,
  type LiveSourceOptions,
  type Subscriber,
} from '../../packages/consumer/src/subscribe/index.ts';
import type { Event } from '../../src/event.ts';
import { LiveChannelFixture } from '../support/live-channel.ts';
import { liveToken } from '../support/live-reader.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { plainOrigin } from '../support/plain-origin.ts';
import { sampleBatch, sampleEvent, type SampleFields } from '../support/sample-event.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
const never = new AbortController().signal;

const subscribers: Subscriber<Record<string, unknown>>[] = [];
afterEach(() => {
  for (const subscriber of subscribers.splice(0)) subscriber.close();
});

async function send(channel: LiveChannelFixture, ...fields: SampleFields[]): Promise<Event[]> {
  const events = fields.map((each) => sampleEvent({ origin: plainOrigin({ commitLsn: 100n }), ...each }));
  expect(await channel.sink.deliver(sampleBatch(events), never)).toEqual({ kind: 'delivered' });
  return events;
}

/** Subscribes, and notes in one list what comes. */
class Reader {
  readonly told: string[] = [];
  readonly renewals: boolean[] = [];
  readonly errors: unknown[] = [];
  readonly whys: string[] = [];
  private waiting: (() => void)[] = [];

  constructor(url: string, options: Partial<LiveSourceOptions> = {}) {
    const token = (organization: string, { renew }: { renew: boolean }) => {
      this.renewals.push(renew);
      return liveToken({ organization });
    };
    const subscriber = createSubscriber({
      source: liveSource({ url, token, ...options }),
      retry: { base: 1, most: 1 },
      onError: (error) => this.note(this.errors, error),
    });
    subscriber.subscribe(ORGANIZATION, {
      events: { '*': ({ event_id }) => this.note(this.told, event_id) },
      onReset: () => this.note(this.told, 'reset'),
      onStatus: (status) => {
        if (status.state === 'waiting') this.note(this.whys, status.why);
        if (status.state === 'live') this.note(this.told, 'live');
      },
    });
    subscribers.push(subscriber);
  }

  /** Resolves when that many things were told. */
  async gets(count: number): Promise<readonly string[]> {
    await this.until(() => this.told.length >= count);
    return this.told;
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private note<Noted>(list: Noted[], what: Noted): void {
    list.push(what);
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** An EventSource of Node does not exist before version 22; this is one of a few lines, over fetch. */
class PlainEventSource implements EventSourceLike {
  private readonly abort = new AbortController();
  private readonly listeners = new Map<string, (message: { data?: string; lastEventId?: string }) => void>();

  constructor(url: string) {
    void this.read(url)
      .catch(() => undefined)
      .then(() => this.listeners.get('error')?.({}));
  }

  addEventListener(type: string, listener: (message: { data?: string; lastEventId?: string }) => void): void {
    this.listeners.set(type, listener);
  }

  close(): void {
    this.abort.abort();
  }

  private async read(url: string): Promise<void> {
    const response = await fetch(url, { signal: this.abort.signal });
    if (!response.ok) return;
    let rest = '';
    for await (const part of response.body ?? []) {
      const blocks = (rest + Buffer.from(part as Uint8Array).toString('utf8')).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        const data = field('data');
        if (data !== undefined)
          this.listeners.get(field('event') ?? 'message')?.({ data, lastEventId: field('id') ?? '' });
      }
    }
  }
}

const urlOf = (channel: LiveChannelFixture): string => `http://127.0.0.1:${channel.port}/live`;

describe.each<[string, Partial<LiveSourceOptions>]>([
  ['fetch', {}],
  ['an EventSource', { eventSource: PlainEventSource, types: ['a', 'b', 'error'] }],
])('with %s', (_, options) => {
  test('events arrive behind the first reset, and the end of a stream is told with its reason', async () => {
    await using channel = await LiveChannelFixture.start();
    const reader = new Reader(urlOf(channel), options);
    await reader.gets(2);
    const before = await send(channel, { eventType: 'a' }, { eventType: 'error' });
    await reader.gets(4);
    channel.hub.close('not_leader');
    await reader.until(() => reader.whys.length > 1);
    expect(reader.whys[0]).toBe('walpost ended the stream: not_leader');
    expect(reader.whys[1]).toBe('the live channel answered 503');
    const ids = before.map(({ eventId }) => eventId);
    expect(reader.told).toEqual(['live', 'reset', ...ids]);
    expect(reader.errors).toEqual([]);
  });

  test('after a cut of the connection it goes on where it was, without a reset', async () => {
    await using channel = await LiveChannelFixture.start();
    await using front = await TcpProxy.start({ host: '127.0.0.1', port: channel.port });
    const reader = new Reader(`http://127.0.0.1:${front.port}/live`, options);
    await reader.gets(2);
    const [first] = await send(channel, { eventType: 'a' });
    await reader.gets(3);
    front.redirect({ host: '127.0.0.1', port: 1 });
    front.cut();
    await reader.until(() => reader.whys.length > 0);
    const missed = await send(channel, { eventType: 'b' }, { eventType: 'a' });
    front.redirect({ host: '127.0.0.1', port: channel.port });
    await reader.gets(6);
    const [last] = await send(channel, { eventType: 'b' });
    const ids = [first, ...missed, last].map((event) => event?.eventId);
    expect((await reader.gets(7)).filter((told) => told !== 'live')).toEqual(['reset', ...ids]);
    expect(channel.resumed).toEqual(['new', 'ring']);
  });

  test('what the channel has forgotten is a reset', async () => {
    await using channel = await LiveChannelFixture.start({ config: { ring_events: 1 } });
    await using front = await TcpProxy.start({ host: '127.0.0.1', port: channel.port });
    const reader = new Reader(`http://127.0.0.1:${front.port}/live`, options);
    await reader.gets(2);
    front.redirect({ host: '127.0.0.1', port: 1 });
    front.cut();
    await reader.until(() => reader.whys.length > 0);
    await send(channel, { eventType: 'a' }, { eventType: 'a' }, { eventType: 'a' });
    front.redirect({ host: '127.0.0.1', port: channel.port });
    await reader.gets(4);
    expect(reader.told).toEqual(['live', 'reset', 'live', 'reset']);
  });
});

test('a token that is refused is asked for anew, and the stream begins', async () => {
  await using channel = await LiveChannelFixture.start();
  const given: boolean[] = [];
  const reader = new Reader(urlOf(channel), {
    token: (organization, { renew }) => {
      given.push(renew);
      return renew ? liveToken({ organization }) : liveToken({ organization, exp: 1_700_000_000 });
    },
  });
  await reader.gets(2);
  expect([given, reader.whys]).toEqual([[false, true], ['the live channel answered 401']]);
});

test('a stream whose token expires goes on with a new one, without a gap', async () => {
  const clock = new ManualClock();
  await using channel = await LiveChannelFixture.start({ clock });
  const exp = clock.wallTime() / 1000 + 40;
  const reader = new Reader(urlOf(channel), {
    token: (organization, { renew }) => liveToken({ organization, exp: renew ? exp + 3600 : exp }),
  });
  await reader.gets(2);
  await clock.advance(40_000);
  await reader.gets(3);
  const [event] = await send(channel, {});
  expect(await reader.gets(4)).toEqual(['live', 'reset', 'live', event?.eventId]);
});

test('the token function that throws is told of, and nothing of it is said to others', async () => {
  const reader = new Reader('http://127.0.0.1:9/live', { token: () => Promise.reject(new Error('no session')) });
  await reader.until(() => reader.errors.length > 1);
  expect(reader.errors[0]).toEqual(new Error('no session'));
});

test('a token function that never answers is not waited for', async () => {
  const clock = new ManualClock();
  const reader = new Reader('http://127.0.0.1:9/live', { clock, token: () => new Promise(() => undefined) });
  await clock.advance(29_999);
  expect(reader.whys).toEqual([]);
  await clock.advance(1);
  expect(reader.whys).toEqual(['the token function has not answered for 30 s']);
});

test('a channel that cannot be reached is waited for', async () => {
  const reader = new Reader('http://127.0.0.1:1/live');
  await reader.until(() => reader.whys.length > 1);
  expect(reader.whys[0]).toContain('the live channel cannot be reached');
  expect(reader.errors).toEqual([]);
});

test('types and topics are asked for', async () => {
  await using channel = await LiveChannelFixture.start();
  const reader = new Reader(urlOf(channel), { types: ['a', 'b c'], topics: ['t'] });
  await reader.gets(2);
  const sent = await send(
    channel,
    { eventType: 'b c', topic: 't' },
    { eventType: 'a' },
    { eventType: 'a', topic: 't' },
  );
  expect((await reader.gets(4)).slice(2)).toEqual([sent[0]?.eventId, sent[2]?.eventId]);
});

test('a stream that has fallen silent is given up', async () => {
  const clock = new ManualClock();
  const silent = createServer((_request, response) => void response.writeHead(200).write(':\n\n')).listen(
    0,
    '127.0.0.1',
  );
  await once(silent, 'listening');
  const asked = once(silent, 'request');
  const reader = new Reader(`http://127.0.0.1:${portOf(silent)}/live`, { clock, silence: 45_000 });
  await asked;
  await clock.advance(45_000);
  await reader.until(() => reader.whys.length > 0);
  expect(reader.whys[0]).toBe('the live channel was silent for too long');
  subscribers.splice(0).forEach((subscriber) => subscriber.close());
  silent.closeAllConnections();
  silent.close();
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
