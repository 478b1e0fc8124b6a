import { afterEach, describe, expect, test } from 'vitest';
import type { SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createRealtimeSink } from '../../src/sinks/realtime/realtime-sink.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { type Fault, RealtimeFake, type RealtimeFakeOptions } from '../support/realtime-fake.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { RealtimeSubscriber } from '../support/realtime-subscriber.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const A = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000a';
const B = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000b';
const CHANNEL = 'notifications:org_';
const keys: RealtimeFakeOptions['keys'] = {
  service: { read: () => true, write: () => true },
  'member-of-a': { read: (topic) => topic === CHANNEL + A, write: () => false },
  'member-of-b': { read: (topic) => topic === CHANNEL + B, write: () => false },
};
const never = (): AbortSignal => new AbortController().signal;

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function keep<T extends AsyncDisposable>(thing: T): T {
  opened.push(thing);
  return thing;
}

async function startFake(options: Partial<RealtimeFakeOptions> = {}): Promise<RealtimeFake> {
  return keep(await RealtimeFake.start({ keys, ...options }));
}

function sinkFor(fake: RealtimeFake, options: Partial<SinkConfigOf<'realtime'>> = {}): Sink {
  const sink = createRealtimeSink(
    {
      type: 'realtime',
      url: fake.url,
      key: 'service',
      channel: `${CHANNEL}{organization_id}`,
      form: 'events',
      private: true,
      allow_private: true,
      concurrency: 16,
      ...options,
    },
    { ...contractContext, name: 'live' },
  );
  keep({ [Symbol.asyncDispose]: () => sink.close() });
  return sink;
}

function join(fake: RealtimeFake, key: string, organizationId: string): Promise<RealtimeSubscriber> {
  return RealtimeSubscriber.join(fake, { key, channel: CHANNEL + organizationId }).then(keep);
}

const events = (count: number, organizationId = A) =>
  Array.from({ length: count }, (_, n) => sampleEvent({ organizationId, payload: `{"n": ${n}}` }));

/** The verdicts of three events, of which the second met the fault. */
async function verdictsAround(fake: RealtimeFake, fault: Fault): Promise<readonly Verdict[]> {
  fake.answerNext({ status: 202 }, fault);
  return (await sinkFor(fake).deliver(sampleBatch(events(3)), never())) as readonly Verdict[];
}

describe('what subscribers see', () => {
  test('every event, in order, on the channel of its organization and on no other', async () => {
    const fake = await startFake();
    const [a, b] = [await join(fake, 'member-of-a', A), await join(fake, 'member-of-b', B)];
    const sink = sinkFor(fake);
    const sent = events(30);

    expect(await sink.deliver(sampleBatch(sent), never())).toEqual(sent.map(() => ({ kind: 'delivered' })));
    const got = await a.received(30);
    expect(got.map(({ event }) => event)).toEqual(sent.map(({ eventType }) => eventType));
    expect(got.map(({ payload }) => payload)).toEqual(
      sent.map((event) => JSON.parse(wireBytes(envelopeOf(event)).toString())),
    );

    // Whatever had gone astray would have arrived before this one.
    const [mark] = events(1, B);
    await sink.deliver(sampleBatch([mark as NonNullable<typeof mark>]), never());
    expect(await b.received(1)).toMatchObject([{ payload: { event_id: mark?.eventId, organization_id: B } }]);
    expect(a.messages).toHaveLength(30);
  });

  test('no organization has a channel that another one could have by its topic', async () => {
    const fake = await startFake();
    const sink = sinkFor(fake, { channel: '{organization_id}:{topic}' });
    const ofTwo = [
      sampleEvent({ organizationId: 'acme', topic: 'eu:jobs' }),
      sampleEvent({ organizationId: 'acme:eu', topic: 'jobs' }),
    ];
    for (const event of ofTwo) await sink.deliver(sampleBatch([event]), never());
    const channels = fake.requests.map(({ path }) => decodeURIComponent(/broadcast\/([^/]*)\//.exec(path)?.[1] ?? ''));
    expect(channels).toEqual(['acme:eu:jobs', 'acme%3Aeu:jobs']);
  });

  test('a subscriber without permission is not let in', async () => {
    const fake = await startFake();
    await expect(join(fake, 'member-of-b', A)).rejects.toThrow(/do not have permissions to read/);
  });

  test('public channels, when the configuration says so', async () => {
    const fake = await startFake();
    const everyone = keep(
      await RealtimeSubscriber.join(fake, { key: 'member-of-b', channel: 'news-cataloging', isPrivate: false }),
    );
    const sink = sinkFor(fake, { channel: 'news-{topic}', event: 'walpost', private: false });
    await sink.deliver(sampleBatch(events(1)), never());
    expect(await everyone.received(1)).toMatchObject([{ event: 'walpost', payload: { topic: 'cataloging' } }]);
  });
});

describe('what goes over the wire', () => {
  test('the envelope, byte for byte', async () => {
    const fake = await startFake();
    const payload = '{"big": 12345678901234567890, "money": 1.10, "text": "Zoë \\u0000 ✓", "a": 1, "a": 2}';
    const event = sampleEvent({ organizationId: A, payload, eventType: 'job/done 100%' });
    await sinkFor(fake).deliver(sampleBatch([event]), never());

    const [request] = fake.requests;
    expect(request?.body.toString()).toContain(`"payload":${payload},`);
    expect(request?.body).toEqual(wireBytes(envelopeOf(event)));
    expect(request?.path).toBe(
      `/realtime/v1/api/broadcast/notifications%3Aorg_${A}/events/job%2Fdone%20100%25?private=true`,
    );
    expect(request?.headers).toMatchObject({ apikey: 'service', authorization: 'Bearer service' });
  });

  test('connections stay, and there are never more than `concurrency`', async () => {
    const fake = await startFake();
    const sink = sinkFor(fake, { concurrency: 2 });
    await sink.deliver(sampleBatch(events(20)), never());
    await Promise.all(Array.from({ length: 8 }, () => sink.deliver(sampleBatch(events(5)), never())));
    expect(fake.requests).toHaveLength(60);
    expect(fake.connections).toBe(2);
  });
});

describe('refusals', () => {
  test('a private channel that the key may not write to is refused, where the batch route would have said yes', async () => {
    const fake = await startFake();
    const member = await join(fake, 'member-of-a', A);
    const [event] = events(1);
    const batchAnswer = await fetch(`${fake.url}/realtime/v1/api/broadcast`, {
      method: 'POST',
      headers: { apikey: 'member-of-a', 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ topic: CHANNEL + A, event: 'lost', payload: {}, private: true }] }),
    });
    expect(batchAnswer.status).toBe(202);

    const refused = await sinkFor(fake, { key: 'member-of-a' }).deliver(sampleBatch(events(2)), never());
    expect(refused).toMatchObject([
      { kind: 'unavailable', reason: expect.stringContaining('403') },
      { kind: 'unavailable', reason: expect.stringContaining('not attempted') },
    ]);
    expect(fake.requests).toHaveLength(2);

    await sinkFor(fake).deliver(sampleBatch([event as NonNullable<typeof event>]), never());
    expect(await member.received(1)).toMatchObject([{ payload: { event_id: event?.eventId } }]);
  });

  test('a wrong key is unavailable, and the key is in no reason', async () => {
    const fake = await startFake();
    const key = 'a-key-that-nobody-should-see';
    fake.answerNext({ status: 401, body: { message: `Unauthorized: ${key}` } });
    const verdicts = await sinkFor(fake, { key }).deliver(sampleBatch(events(1)), never());
    expect(verdicts).toMatchObject([{ kind: 'unavailable', reason: expect.stringContaining('401') }]);
    expect(JSON.stringify(verdicts)).not.toContain(key);
  });

  test('a message that is too large for the project is its own fault, and those behind it wait', async () => {
    const fake = await startFake({ maxPayloadBytes: 600 });
    const [first, , last] = events(3);
    const large = sampleEvent({ organizationId: A, payload: `"${'x'.repeat(600)}"` });
    const batch = sampleBatch([first, large, last].map((event) => event as NonNullable<typeof event>));
    expect(await sinkFor(fake).deliver(batch, never())).toMatchObject([
      { kind: 'delivered' },
      { kind: 'failed', reason: expect.stringContaining('422') },
      { kind: 'unavailable', reason: expect.stringContaining('not attempted') },
    ]);
    expect(fake.requests).toHaveLength(2);
  });

  test('an event that no channel can carry leaves the way free for the others', async () => {
    const fake = await startFake();
    const [first, last] = events(2);
    const broken = sampleEvent({ organizationId: A, eventType: '..' });
    const batch = sampleBatch([first, broken, last].map((event) => event as NonNullable<typeof event>));
    expect(await sinkFor(fake).deliver(batch, never())).toMatchObject([
      { kind: 'delivered' },
      { kind: 'rejected', reason: expect.stringContaining('the event name is ..') },
      { kind: 'delivered' },
    ]);
    expect(fake.requests).toHaveLength(2);
  });

  test('the rate limit stops the batch where it was reached, and says how long to wait', async () => {
    const fake = await startFake({ budget: 2 });
    const member = await join(fake, 'member-of-a', A);
    const sink = sinkFor(fake);
    const sent = events(4);
    expect(await sink.deliver(sampleBatch(sent), never())).toMatchObject([
      { kind: 'delivered' },
      { kind: 'delivered' },
      { kind: 'unavailable', reason: expect.stringContaining('429') },
      { kind: 'unavailable' },
    ]);
    expect(fake.requests).toHaveLength(3);

    fake.answerNext({ status: 429, headers: { 'retry-after': '7' } });
    expect(await sink.deliver(sampleBatch(sent.slice(2)), never())).toMatchObject([
      { kind: 'unavailable', retryAfter: 7000 },
      { kind: 'unavailable', retryAfter: 7000 },
    ]);

    fake.setBudget(2);
    await sink.deliver(sampleBatch(sent.slice(2), 3), never());
    const ids = (await member.received(4)).map(({ payload }) => (payload as { event_id: string }).event_id);
    expect(ids).toEqual(sent.map(({ eventId }) => eventId));
  });

  test.each<[string, Fault, Partial<Verdict>]>([
    ['400', { status: 400 }, { kind: 'failed' }],
    ['413', { status: 413 }, { kind: 'failed' }],
    ['422 about the message', { status: 422, body: { errors: { payload: ["can't be blank"] } } }, { kind: 'failed' }],
    ['422 without a reason', { status: 422 }, { kind: 'failed' }],
    [
      '422 about the project',
      { status: 422, body: { message: 'Tenant database initializing' } },
      { kind: 'unavailable' },
    ],
    ['404 of an old server', { status: 404 }, { kind: 'unavailable', reason: expect.stringContaining('2.97') }],
    ['500', { status: 500, body: { message: 'RPC error' } }, { kind: 'unavailable' }],
    ['503 with a wait', { status: 503, headers: { 'retry-after': '3' } }, { kind: 'unavailable', retryAfter: 3000 }],
    ['a connection that breaks', 'reset', { kind: 'unavailable' }],
  ])('%s', async (_name, fault, expected) => {
    const verdicts = await verdictsAround(await startFake(), fault);
    expect(verdicts).toMatchObject([{ kind: 'delivered' }, expected, { kind: 'unavailable' }]);
  });
});

test('an abort ends the request that is out, and what was delivered before it stays delivered', async () => {
  const fake = await startFake();
  const abort = new AbortController();
  fake.answerNext({ status: 202 }, 'hold');
  const verdicts = sinkFor(fake).deliver(sampleBatch(events(3)), abort.signal);
  await fake.received(2);
  abort.abort();
  expect(await verdicts).toMatchObject([{ kind: 'delivered' }, { kind: 'unavailable' }, { kind: 'unavailable' }]);
  expect(fake.requests).toHaveLength(2);
});

test('a private address is refused before a packet leaves', async () => {
  const fake = await startFake();
  const verdicts = await sinkFor(fake, { allow_private: false }).deliver(sampleBatch(events(1)), never());
  expect(verdicts).toMatchObject([{ kind: 'unavailable', reason: expect.stringContaining('private') }]);
  expect(fake.connections).toBe(0);
});

describeSinkContract('realtime', async () => {
  const key = 'the-key-of-the-contract';
  const fake = await RealtimeFake.start({ keys: { [key]: { read: () => true, write: () => true } } });
  let askedBefore = 0;
  return {
    sink: createRealtimeSink(
      {
        type: 'realtime',
        url: fake.url,
        key,
        channel: 'org_{organization_id}',
        form: 'events',
        private: true,
        allow_private: true,
        concurrency: 16,
      },
      contractContext,
    ),
    secrets: [key],
    received: async () => Buffer.concat(fake.requests.map(({ body }) => body)),
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
