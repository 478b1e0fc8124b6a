import { describe, expect, test } from 'vitest';
import {
  createWebhookHandler,
  type Envelope,
  memoryDedupe,
  PermanentError,
  WebhookVerificationError,
  type WebhookEventHandlers,
  type WebhookHandlerOptions,
} from '../../packages/consumer/src/index.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { SECRET, signedWebhook } from '../support/signed-webhook.ts';

type Options = WebhookHandlerOptions<Record<string, unknown>, undefined>;
type Handlers = WebhookEventHandlers<Record<string, unknown>, undefined>;

const OTHER = `whsec_${Buffer.from('the secret before the change').toString('base64')}`;
const PRIVATE = 'a text that no answer holds';
const event = (eventType: string, more: { eventId?: string } = {}) =>
  sampleEvent({ eventType, payload: JSON.stringify({ text: PRIVATE }), ...more });

/** A receiver that notes the types which its handlers are called with. */
function receiver(handlers: Handlers = {}, more: Partial<Options> = {}) {
  const [called, errors]: [string[], unknown[]] = [[], []];
  const noting = (name: string, handler: Handlers[string]): Handlers[string] => {
    return async ({ event_type }: Envelope, transaction) => {
      called.push(name === event_type ? name : `${name}: ${event_type}`);
      await handler?.({} as Envelope, transaction);
    };
  };
  const handler = createWebhookHandler({
    secrets: SECRET,
    events: Object.fromEntries(Object.entries(handlers).map(([name, each]) => [name, noting(name, each)])),
    dedupe: memoryDedupe(),
    onError: (error: unknown) => errors.push(error),
    ...more,
  } satisfies Options);
  const send = async (init: RequestInit & { duplex?: 'half' }) => {
    const answer = await handler(new Request('http://127.0.0.1/hook', init));
    const text = await answer.text();
    expect(text).not.toContain(PRIVATE);
    return { status: answer.status, headers: answer.headers, ...(JSON.parse(text) as Record<string, unknown>) };
  };
  return { send, called, errors };
}

const done = async (): Promise<void> => undefined;

describe('events', () => {
  test('go to the handler of their type, in order; a longer pattern before a shorter one', async () => {
    const { send, called } = receiver({ 'order.created': done, 'order.*': done, '*': done, 'a.b': done });
    const types = ['order.paid', 'order.created', 'axb', 'order.paid.late'];
    expect(await send(signedWebhook(types.map((type) => event(type))))).toMatchObject({ status: 200, handled: 4 });
    expect(called).toEqual(['order.*: order.paid', 'order.created', '*: axb', 'order.*: order.paid.late']);
  });

  test('are handled one after the other', async () => {
    const steps: string[] = [];
    const { send } = receiver({
      '*': async () => {
        steps.push('begin');
        await new Promise((resolve) => setImmediate(resolve));
        steps.push('end');
      },
    });
    await send(signedWebhook([event('a'), event('b')]));
    expect(steps).toEqual(['begin', 'end', 'begin', 'end']);
  });

  test('without a handler are accepted and named, or refused where that is asked for', async () => {
    const events = [event('known'), event('new'), event('new'), event('known')];
    const lenient = receiver({ known: done });
    expect(await lenient.send(signedWebhook(events))).toMatchObject({ status: 200, handled: 2, unknown: ['new'] });
    const strict = receiver({ known: done }, { unknownTypes: 'refuse' });
    expect(await strict.send(signedWebhook(events))).toMatchObject({
      status: 422,
      error: 'refused',
      event_id: events[1]?.eventId,
      handled: 1,
    });
    expect(strict.called).toEqual(['known']);
  });

  test('that are repeated are dropped and named', async () => {
    const { send, called } = receiver({ '*': done });
    const [one, two] = [event('one'), event('two')];
    await send(signedWebhook([one]));
    const answer = await send(signedWebhook([one, two]));
    expect(answer).toMatchObject({ status: 200, handled: 1, repeated: [one.eventId] });
    expect(called).toEqual(['*: one', '*: two']);
  });

  test('behind one that failed wait for the repeat, which passes over those that were done', async () => {
    let broken = true;
    const { send, called, errors } = receiver({
      a: done,
      b: () => (broken ? Promise.reject(new Error(PRIVATE)) : Promise.resolve()),
      c: done,
    });
    const events = [event('a'), event('b'), event('c')];
    expect(await send(signedWebhook(events))).toMatchObject({
      status: 500,
      error: 'failed',
      event_id: events[1]?.eventId,
      handled: 1,
    });
    expect(errors).toEqual([new Error(PRIVATE)]);
    broken = false;
    expect(await send(signedWebhook(events))).toMatchObject({
      status: 200,
      handled: 2,
      repeated: [events[0]?.eventId],
    });
    expect(called).toEqual(['a', 'b', 'b', 'c']);
  });

  test('of a PermanentError are refused with 422, so that walpost looks for the one', async () => {
    const { send } = receiver({
      bad: () => {
        throw new PermanentError(PRIVATE);
      },
    });
    expect(await send(signedWebhook([event('bad')]))).toMatchObject({ status: 422, error: 'refused' });
  });

  test('in hand elsewhere are asked for again soon', async () => {
    const { send, called } = receiver({ '*': done }, { dedupe: { once: () => Promise.resolve('busy') } });
    const answer = await send(signedWebhook([event('a')]));
    expect(answer).toMatchObject({ status: 503, error: 'busy' });
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(called).toEqual([]);
  });
});

describe('a request', () => {
  const now = new Date('2026-11-29T12:00:00Z');
  const old = new Date(now.getTime() - 301_000);
  const send = (init: RequestInit & { duplex?: 'half' }, more: Partial<Options> = {}) =>
    receiver({ '*': done }, { now: () => now, maxBytes: 10_000, ...more }).send(init);
  const right = signedWebhook([event('a')], { at: now });

  test('of either secret is taken', async () => {
    const secrets = [OTHER, SECRET];
    expect(await send(right, { secrets })).toMatchObject({ status: 200 });
    expect(await send(signedWebhook([event('a')], { at: now, secret: OTHER }), { secrets })).toMatchObject({
      status: 200,
    });
  });

  test.each<[string, number, RequestInit, Partial<Options>?]>([
    ['of an unknown secret', 401, signedWebhook([event('a')], { at: now, secret: OTHER })],
    ['that was changed', 401, { ...right, body: Buffer.concat([right.body, Buffer.from(' ')]) }],
    ['without a signature', 401, { method: 'POST', body: right.body }],
    ['without a body', 401, { method: 'POST', headers: right.headers }],
    ['that is old', 401, signedWebhook([event('a')], { at: old })],
    ['of no JSON', 400, signedWebhook(`{${PRIVATE}`, { at: now })],
    ['of no envelopes', 400, signedWebhook('{"batch_id": "1"}', { at: now })],
    ['with a method of its own', 405, { method: 'GET' }],
    ['that announces too much', 413, signedWebhook('x'.repeat(10_001), { at: now })],
  ])('%s is answered %i', async (_, status, init) => {
    expect(await send(init)).toMatchObject({ status, error: expect.any(String) as string });
  });

  test('within a tolerance of its own is taken', async () => {
    const answer = await send(signedWebhook([event('a')], { at: old }), { toleranceSeconds: 302 });
    expect(answer).toMatchObject({ status: 200 });
  });

  test('that does not say how long it is, is read to the limit and no further', async () => {
    let read = 0;
    const body = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(new Uint8Array(((read += 1), 1_000))) },
      { highWaterMark: 0 },
    );
    expect(await send({ method: 'POST', body, duplex: 'half' })).toMatchObject({ status: 413 });
    expect(read).toBe(11);
  });

  test('whose body ends early, or was read by someone else, is told so', async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error('cut')) });
    expect(await send({ ...right, body, duplex: 'half' })).toMatchObject({ status: 400 });
    const request = new Request('http://127.0.0.1/', right);
    await request.text();
    const handler = createWebhookHandler({ secrets: SECRET, events: { a: done }, dedupe: memoryDedupe() });
    const answer = await handler(request);
    expect([answer.status, await answer.text()]).toEqual([500, expect.stringContaining('express.json()')]);
  });
});

test.each<[string, Partial<Options>, new () => Error]>([
  ['no secret', { secrets: [] }, WebhookVerificationError as unknown as new () => Error],
  ['a secret that is none', { secrets: [SECRET, 'whsec_!'] }, WebhookVerificationError as unknown as new () => Error],
  ['no events', { events: {} }, TypeError],
])('a handler with %s is refused when it is made', (_, options, error) => {
  expect(() => receiver({ '*': done }, options)).toThrow(error);
});

describe('memory', () => {
  const of = (id: string) => ({ event_id: id }) as Envelope;

  test('forgets the oldest beyond its count, and what is too old', async () => {
    let now = 0;
    const store = memoryDedupe({ maxEvents: 2, maxAge: 10, now: () => now });
    for (const id of ['a', 'b', 'c']) await store.once(of(id), done);
    expect(await store.once(of('b'), done)).toBe('repeated');
    expect(await store.once(of('a'), done)).toBe('handled');
    now = 10;
    expect(await store.once(of('c'), done)).toBe('handled');
  });

  test('lets the second of two at once wait for the first, and handle the event when that fails', async () => {
    const store = memoryDedupe();
    let fail: (error: Error) => void = () => undefined;
    const promise = new Promise<void>((_, reject) => (fail = reject));
    const other = store.once(of('a'), () => promise);
    const second = store.once(of('a'), done);
    const third = store.once(of('a'), done);
    fail(new Error('failed'));
    await expect(other).rejects.toThrow('failed');
    expect([await second, await third]).toEqual(['handled', 'repeated']);
  });
});
