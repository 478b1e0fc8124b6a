import { afterEach, describe, expect, test } from 'vitest';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { createRealtimeSink } from '../../src/sinks/realtime/realtime-sink.ts';
import { formatLsn } from '../../src/lsn.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { problemsOf } from '../support/config-file.ts';
import { RealtimeFake, type RealtimeFakeOptions } from '../support/realtime-fake.ts';
import { RealtimeSubscriber } from '../support/realtime-subscriber.ts';
import { sampleBatch, sampleEvent, type SampleFields } from '../support/sample-event.ts';

const A = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000a';
const CHANNEL = `notifications:org_${A}`;
const keys: RealtimeFakeOptions['keys'] = {
  service: { read: () => true, write: () => true },
  member: { read: () => true, write: () => false },
};
const never = (): AbortSignal => new AbortController().signal;
const delivered = { kind: 'delivered' };

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function keep<T extends AsyncDisposable>(thing: T): T {
  opened.push(thing);
  return thing;
}

const startFake = async (options: Partial<RealtimeFakeOptions> = {}): Promise<RealtimeFake> =>
  keep(await RealtimeFake.start({ keys, ...options }));

const join = async (fake: RealtimeFake, channel = CHANNEL): Promise<RealtimeSubscriber> =>
  keep(await RealtimeSubscriber.join(fake, { key: 'member', channel }));

type RealtimeOptions = Partial<SinkConfigOf<'realtime'>>;

function sinkFor(fake: RealtimeFake, options: RealtimeOptions): Sink {
  const config = sinkSchema.parse({ type: 'realtime', url: fake.url, key: 'service', allow_private: true, ...options });
  const sink = createRealtimeSink(config as SinkConfigOf<'realtime'>, contractContext);
  keep({ [Symbol.asyncDispose]: () => sink.close() });
  return sink;
}

const eventOf = (fields: SampleFields = {}): Event => sampleEvent({ organizationId: A, ...fields });
const jobs = (count: number, fields: SampleFields = {}): Event[] =>
  Array.from({ length: count }, (_, n) => eventOf({ entityType: 'job', entityId: String(n), ...fields }));
const idsOf = (events: readonly Event[]): string[] => events.map(({ eventId }) => eventId);

interface Listed {
  readonly events: readonly { readonly event_id: string }[];
}

interface Invalidated {
  readonly entities: readonly { readonly entity_id: string | null; readonly event_id: string }[];
}

/** The ids of the events in each message so far. */
const listsOf = ({ messages }: RealtimeSubscriber): string[][] =>
  messages.map(({ payload }) => (payload as Listed).events.map(({ event_id: id }) => id));

describe('form: list', () => {
  test('a batch is one broadcast with its events, in order', async () => {
    const fake = await startFake();
    const member = await join(fake);
    const [first, second] = [eventOf({ entityType: 'job', entityId: 'Zoë "7"' }), eventOf({ eventType: 'job.gone' })];
    expect(await sinkFor(fake, { form: 'list' }).deliver(sampleBatch([first, second]), never())).toEqual([
      delivered,
      delivered,
    ]);
    const entry = ({ eventId, eventType, topic, entityType, entityId, origin, ordinal }: Event) => ({
      event_id: eventId,
      event_type: eventType,
      topic,
      entity_type: entityType,
      entity_id: entityId,
      lsn: origin.commitLsn === null ? null : formatLsn(origin.commitLsn),
      ordinal,
    });
    expect(await member.received(1)).toEqual([
      { event: 'events', payload: { organization_id: A, events: [entry(first), entry(second)] } },
    ]);
  });

  test('10,000 events are a handful of messages under the limit, in order', async () => {
    const fake = await startFake();
    const member = await join(fake);
    const sent = jobs(10_000);
    const verdicts = await sinkFor(fake, { form: 'list' }).deliver(sampleBatch(sent), never());
    expect(verdicts).toEqual(sent.map(() => delivered));
    await member.received(fake.requests.length);
    expect(listsOf(member).flat()).toEqual(idsOf(sent));
    expect(fake.requests.length).toBeLessThan(20);
    expect(Math.max(...fake.requests.map(({ body }) => body.length))).toBeLessThanOrEqual(200_000);
  });

  test('a topic with a channel of its own gets its events in their order', async () => {
    const fake = await startFake();
    const [orders, mails] = [await join(fake, 'orders'), await join(fake, 'mails')];
    const sent = Array.from({ length: 6 }, (_, n) => eventOf({ topic: n % 2 === 0 ? 'orders' : 'mails' }));
    await sinkFor(fake, { form: 'list', channel: '{topic}' }).deliver(sampleBatch(sent), never());
    await Promise.all([orders.received(1), mails.received(1)]);
    expect(listsOf(orders)).toEqual([idsOf(sent.filter(({ topic }) => topic === 'orders'))]);
    expect(listsOf(mails)).toEqual([idsOf(sent.filter(({ topic }) => topic === 'mails'))]);
  });

  test('a topic that no channel can carry is refused for its own events alone', async () => {
    const fake = await startFake();
    const sent = [eventOf(), eventOf({ topic: '..' }), eventOf()];
    const sink = sinkFor(fake, { form: 'list', channel: '{topic}' });
    expect(await sink.deliver(sampleBatch(sent), never())).toMatchObject([
      delivered,
      { kind: 'rejected', reason: expect.stringContaining('the channel name is ..') },
      delivered,
    ]);
  });
});

describe('form: invalidate', () => {
  test('each entity once, with its last event; events without one share an entry', async () => {
    const fake = await startFake();
    const member = await join(fake);
    const one = { entityType: 'job', entityId: '1' };
    const none = { entityType: null, entityId: null };
    const sent = [eventOf(one), eventOf(none), eventOf({ ...one, entityId: '2' }), eventOf(one), eventOf(none)];
    const verdicts = await sinkFor(fake, { form: 'invalidate' }).deliver(sampleBatch(sent), never());
    expect(verdicts).toEqual(sent.map(() => delivered));
    const entry = (place: number, type: string | null, id: string | null) => ({
      topic: 'cataloging',
      entity_type: type,
      entity_id: id,
      event_id: sent[place]?.eventId,
    });
    expect(await member.received(1)).toEqual([
      {
        event: 'invalidate',
        payload: { organization_id: A, entities: [entry(3, 'job', '1'), entry(4, null, null), entry(2, 'job', '2')] },
      },
    ]);
  });

  test('10,000 changes of 50 entities are one message, and of 10,000 entities a handful', async () => {
    const fake = await startFake();
    const sink = sinkFor(fake, { form: 'invalidate' });
    const few = jobs(10_000).map((event, n) => ({ ...event, entityId: String(n % 50) }));
    await sink.deliver(sampleBatch(few), never());
    expect(fake.requests).toHaveLength(1);
    const { entities } = JSON.parse(String(fake.requests[0]?.body)) as Invalidated;
    expect(entities.map(({ event_id: id }) => id)).toEqual(idsOf(few.slice(-50)));
    await sink.deliver(sampleBatch(jobs(10_000)), never());
    expect(fake.requests.length).toBeLessThan(15);
  });
});

describe('refusals', () => {
  test('an event that makes its message too large is alone in the end, and the others before it are delivered', async () => {
    const fake = await startFake({ maxPayloadBytes: 5000 });
    const member = await join(fake);
    const large = eventOf({ entityType: 'job', entityId: 'x'.repeat(6000) });
    const sent = [...jobs(9), large, ...jobs(6)];
    const sink = sinkFor(fake, { form: 'list' });
    const verdicts = await sink.deliver(sampleBatch(sent), never());
    expect(verdicts).toMatchObject([
      ...jobs(9).map(() => delivered),
      { kind: 'failed', code: 'HTTP_422' },
      ...jobs(6).map(() => ({ kind: 'unavailable', reason: expect.stringContaining('not attempted') })),
    ]);
    await sink.deliver(sampleBatch(sent.slice(10)), never());
    await member.received(1);
    expect(listsOf(member).flat()).toEqual(idsOf([...sent.slice(0, 9), ...sent.slice(10)]));
  });

  test('the rate limit stops everything behind it, in all channels, and says how long to wait', async () => {
    const fake = await startFake();
    fake.answerNext({ status: 202 }, { status: 429, headers: { 'retry-after': '7' } });
    const sent = ['a', 'b', 'c'].map((topic) => eventOf({ topic }));
    const sink = sinkFor(fake, { form: 'invalidate', channel: '{topic}' });
    const waits = { kind: 'unavailable', retryAfter: 7000 };
    expect(await sink.deliver(sampleBatch(sent), never())).toMatchObject([delivered, waits, waits]);
    expect(fake.requests).toHaveLength(2);
  });

  test('without time for another request, the next message is not begun', async () => {
    const fake = await startFake();
    const sent = ['a', 'b'].map((topic) => eventOf({ topic }));
    let asked = 0;
    const time = { beginRequest: () => asked++ === 0 };
    const sink = sinkFor(fake, { form: 'list', channel: '{topic}' });
    expect(await sink.deliver(sampleBatch(sent), never(), time)).toMatchObject([delivered, { unsent: true }]);
    expect(fake.requests).toHaveLength(1);
  });

  test('a connection that is cut behind a message: nothing is lost, the order holds, ids repeat', async () => {
    const fake = await startFake();
    const member = await join(fake);
    const sent = jobs(3000);
    const sink = sinkFor(fake, { form: 'list' });
    fake.answerNext('pass', 'lose');
    const verdicts = await sink.deliver(sampleBatch(sent), never());
    const rest = sent.filter((_, n) => (verdicts as readonly Verdict[])[n]?.kind !== 'delivered');
    expect(rest).toEqual(sent.slice(-rest.length));
    expect([0, sent.length]).not.toContain(rest.length);
    // The next attempts have other groups than the first.
    await sink.deliver(sampleBatch(rest.slice(0, 10), 2), never());
    await sink.deliver(sampleBatch(rest.slice(10), 2), never());
    await member.received(fake.requests.length);
    const all = listsOf(member).flat();
    expect(all.length).toBeGreaterThan(sent.length);
    expect([...new Set(all)]).toEqual(idsOf(sent));
  });
});

describe('the configuration', () => {
  const base = { type: 'realtime', url: 'https://abc.supabase.co', key: 'k' };

  test.each([
    ['event', 'list', { event: '{event_type}' }],
    ['event', 'invalidate', { event: 'of-{topic}' }],
    ['body', 'list', { body: '{}' }],
  ])('%s is about one event, so form: %s refuses it', (option, form, more) => {
    const sinks = { out: { ...base, form, ...more } };
    const text = JSON.stringify({ database: { url: 'postgres://localhost/app' }, sinks, routes: [{ to: ['out'] }] });
    expect(problemsOf(text)).toEqual([expect.stringContaining(`sinks.out.${option}`)]);
  });
});

for (const form of ['list', 'invalidate'] as const) {
  describeSinkContract(`realtime, form: ${form}`, async () => {
    const fake = await RealtimeFake.start({ keys });
    let askedBefore = 0;
    return {
      sink: sinkFor(fake, { form }),
      secrets: ['service'],
      // Neither form has payloads.
      received: async () => null,
      hang: async () => {
        askedBefore = fake.requests.length;
        fake.answerAlways('hold');
        return true;
      },
      asked: () => fake.received(askedBefore + 1),
      fail: async () => {
        fake.answerAlways('echo');
        return true;
      },
      released: () => fake.released(),
      [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
    };
  });
}
