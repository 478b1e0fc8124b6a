import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { batchBody, batchId } from '../../src/envelope.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createWebhookSink } from '../../src/sinks/webhook/webhook-sink.ts';
import { VERSION } from '../../src/version.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { closedPort, type Conduct, WebhookReceiver } from '../support/webhook-receiver.ts';

let receiver: WebhookReceiver;
const sinks: Sink[] = [];
const signal = new AbortController().signal;

beforeEach(async () => void (receiver = await WebhookReceiver.start()));
afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.close();
  await receiver[Symbol.asyncDispose]();
});

function webhook(options: Partial<SinkConfigOf<'webhook'>> = {}): Sink {
  const config = sinkSchema.parse({ type: 'webhook', url: receiver.url(), allow_private: true, ...options });
  const sink = createWebhookSink(config as SinkConfigOf<'webhook'>, contractContext);
  sinks.push(sink);
  return sink;
}

const name = contractContext.name;
const three = () => [sampleEvent({ payload: '{"a": "é"}' }), sampleEvent({ idempotencyKey: 'order-7' }), sampleEvent()];

describe('a batch', () => {
  test('is one POST of exactly the body, named by its content', async () => {
    const batch = sampleBatch(three(), 2);
    expect(await webhook().deliver(batch, signal)).toEqual({ kind: 'delivered' });
    const [request] = receiver.requests;
    expect(receiver.requests).toHaveLength(1);
    expect(request).toMatchObject({ method: 'POST', path: '/hook' });
    expect(request?.body).toEqual(wireBytes(batchBody({ sink: name, batch })));
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': `walpost/${VERSION}`,
      'webhook-id': batchId({ sink: name, job: null, events: batch.events }),
      'webhook-timestamp': expect.stringMatching(/^\d{10}$/),
      'content-length': String(request?.body.length),
    });
    expect(request?.headers).not.toHaveProperty('webhook-signature');
    expect(VERSION).toMatch(/^\d+\.\d+\.\d+/);
  });

  test('of a replay has another id, in the header and in the body', async () => {
    const events = three();
    const sink = webhook();
    await sink.deliver(sampleBatch(events), signal);
    await sink.deliver({ ...sampleBatch(events), job: 'job-1' }, signal);
    const ids = receiver.requests.map(({ headers }) => headers['webhook-id']);
    expect(ids[1]).toBe(batchId({ sink: name, job: 'job-1', events }));
    expect(ids[0]).not.toBe(ids[1]);
    const bodies = receiver.requests.map(({ body }) => (JSON.parse(body.toString()) as { batch_id: string }).batch_id);
    expect(bodies).toEqual(ids);
  });

  test('carries the configured headers and the credentials of the URL', async () => {
    const url = receiver.url('/in?x=1').replace('//', '//me:p%40ss@');
    await webhook({ url, headers: { 'X-Team': 'ops', 'User-Agent': 'mine' } }).deliver(sampleBatch(three()), signal);
    expect(receiver.requests[0]).toMatchObject({
      path: '/in?x=1',
      headers: { 'x-team': 'ops', 'user-agent': 'mine', authorization: `Basic ${btoa('me:p@ss')}` },
    });
  });
});

describe('signatures verify with the standardwebhooks package', () => {
  const raw = Buffer.from('0123456789abcdef0123456789abcdef');
  const whsec = `whsec_${raw.toString('base64')}`;
  const other = `whsec_${Buffer.from('another key, for rotation').toString('base64')}`;

  async function delivered(secret: string, batch = true) {
    await webhook({ secret, batch }).deliver(sampleBatch(three()), signal);
    return receiver.requests.map(({ body, headers }) => ({
      body: body.toString(),
      headers: headers as Record<string, string>,
    }));
  }

  test.each([
    ['whsec_ and base64', whsec, new Webhook(whsec)],
    ['any text', 'correct horse battery staple', new Webhook('correct horse battery staple', { format: 'raw' })],
    ['text that is not ASCII', 'pässwörd', new Webhook(new TextEncoder().encode('pässwörd'), { format: 'raw' })],
    ['the first of two', `${whsec} ${other}`, new Webhook(whsec)],
    ['the second of two', `${whsec} ${other}`, new Webhook(other)],
  ])('%s', async (_name, secret, verifier) => {
    const [request] = await delivered(secret);
    expect(verifier.verify(request?.body ?? '', request?.headers ?? {})).toMatchObject({ sink: name });
    expect(() => verifier.verify(`${request?.body} `, request?.headers ?? {})).toThrow('No matching signature');
  });

  test('each request of one event, too', async () => {
    const requests = await delivered(whsec, false);
    expect(requests).toHaveLength(3);
    for (const { body, headers } of requests) new Webhook(whsec).verify(body, headers);
  });

  test('is over the bytes that were sent', async () => {
    const [request] = await delivered(whsec);
    const signed = `${request?.headers['webhook-id']}.${request?.headers['webhook-timestamp']}.${request?.body}`;
    expect(request?.headers['webhook-signature']).toBe(
      `v1,${createHmac('sha256', raw).update(signed).digest('base64')}`,
    );
  });
});

describe('one event a request', () => {
  test('in order, each with an id, a type and a key of its own', async () => {
    const events = [
      sampleEvent({ eventType: 'job.done', idempotencyKey: 'a b' }),
      sampleEvent({ eventType: 'größe\r\nx: y', idempotencyKey: 'schlüssel' }),
      sampleEvent({ idempotencyKey: 'x'.repeat(5000) }),
    ];
    await webhook({ batch: false }).deliver(sampleBatch(events), signal);
    const seen = receiver.requests.map(({ headers }) => [headers['walpost-event-type'], headers['idempotency-key']]);
    expect(seen).toEqual([
      ['job.done', 'a b'],
      ['gr%C3%B6%C3%9Fe%0D%0Ax%3A%20y', 'schl%C3%BCssel'],
      ['job.completed', events[2]?.eventId],
    ]);
    expect(receiver.requests.map(({ headers }) => headers['webhook-id'])).toEqual(
      events.map((event) => batchId({ sink: name, job: null, events: [event] })),
    );
    expect(receiver.requests.map(({ body }) => body)).toEqual(
      events.map((event) => wireBytes(batchBody({ sink: name, batch: sampleBatch([event]) }))),
    );
  });

  test.each<[Conduct, Verdict, Partial<Verdict>]>([
    [
      { kind: 'answer', status: 422, body: 'no' },
      { kind: 'failed', reason: 'the destination answered 422 Unprocessable Entity', code: 'HTTP_422', answer: 'no' },
      {},
    ],
    [
      { kind: 'answer', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'unavailable', reason: expect.stringContaining('429') as string, code: 'HTTP_429', retryAfter: 7000 },
      { retryAfter: 7000 },
    ],
    [
      { kind: 'reset' },
      {
        kind: 'unavailable',
        reason: expect.stringContaining('closed') as string,
        code: expect.stringMatching(/^(UND_ERR_SOCKET|ECONNRESET)$/) as string,
      },
      {},
    ],
  ])('stops at the first that is not delivered: %j', async (conduct, second, later) => {
    receiver.script({ kind: 'answer', status: 200 }, conduct);
    const events = [...three(), sampleEvent()];
    const unsent = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered', ...later };
    expect(await webhook({ batch: false }).deliver(sampleBatch(events), signal)).toEqual([
      { kind: 'delivered' },
      second,
      unsent,
      unsent,
    ]);
    expect(receiver.requests).toHaveLength(2);
  });

  test('keeps what was delivered before an abort', async () => {
    receiver.script({ kind: 'answer', status: 200 }, { kind: 'hang' });
    const controller = new AbortController();
    const delivering = webhook({ batch: false }).deliver(sampleBatch(three()), controller.signal);
    await receiver.received(2);
    controller.abort();
    expect(await delivering).toMatchObject([{ kind: 'delivered' }, { kind: 'unavailable' }, { kind: 'unavailable' }]);
  });
});

describe('CloudEvents', () => {
  const headers = '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "n": 1}';

  test('a batch is a JSON array, and data is the payload as it was', async () => {
    const event = sampleEvent({
      payload: '{"n": 1.50}',
      headers,
      entityType: 'job',
      entityId: '7',
      idempotencyKey: 'k',
    });
    await webhook({ format: 'cloudevents' }).deliver(sampleBatch([event, sampleEvent()]), signal);
    const [request] = receiver.requests;
    expect(request?.headers['content-type']).toBe('application/cloudevents-batch+json');
    expect(request?.body.toString()).toContain('"data":{"n": 1.50}}');
    const parsed = JSON.parse(request?.body.toString() ?? '') as Record<string, unknown>[];
    expect(parsed).toHaveLength(2);
    expect(parsed[0]).toEqual({
      specversion: '1.0',
      id: event.eventId,
      source: '/walpost/cataloging',
      type: 'job.completed',
      subject: 'job/7',
      time: '2026-11-20T14:00:00.123456Z',
      datacontenttype: 'application/json',
      organizationid: event.organizationId,
      topic: 'cataloging',
      eventversion: 1,
      idempotencykey: 'k',
      committedat: expect.stringMatching(/^2026-11-\d\dT[\d:.]+Z$/),
      lsn: '0/16B3748',
      ordinal: event.ordinal,
      origin: 'stream',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      data: { n: 1.5 },
    });
    expect(parsed[0]).not.toHaveProperty('replay');
    for (const attribute of Object.keys(parsed[0] ?? {})) expect(attribute).toMatch(/^[a-z0-9]{1,20}$/);
  });

  test('one event is one object; a replayed one has no position', async () => {
    const event = sampleEvent({ ordinal: null, topic: 'a b/ü', createdAt: null });
    const replayed = {
      ...event,
      origin: { ...event.origin, commitLsn: null, committedAtMicros: null, job: 'replay-3' },
    };
    await webhook({ format: 'cloudevents', batch: false }).deliver(sampleBatch([replayed]), signal);
    const [request] = receiver.requests;
    expect(request?.headers['content-type']).toBe('application/cloudevents+json');
    const parsed = JSON.parse(request?.body.toString() ?? '') as Record<string, unknown>;
    expect(parsed).toMatchObject({
      origin: 'table',
      replay: 'replay-3',
      source: '/walpost/a%20b%2F%C3%BC',
      topic: 'a b/ü',
    });
    for (const absent of ['lsn', 'ordinal', 'committedat', 'time', 'subject'])
      expect(parsed).not.toHaveProperty(absent);
  });
});

describe('bad days', () => {
  test.each<[Conduct, RegExp]>([
    [{ kind: 'reset' }, /^the destination closed the connection before it answered/],
    [{ kind: 'garbage' }, /answered something that is not HTTP/],
    [
      { kind: 'answer', status: 302, headers: { location: '/elsewhere' } },
      /answered 302 Found: redirects are not followed/,
    ],
    [
      { kind: 'answer', status: 503, body: '<b>down</b>\n\u0007 now' },
      /^the destination answered 503 Service Unavailable$/,
    ],
    [{ kind: 'reset_mid_answer', status: 500 }, /answered 500/],
  ])('%j is unavailable', async (conduct, reason) => {
    receiver.script(conduct);
    const verdict = await webhook().deliver(sampleBatch(three()), signal);
    expect(verdict).toMatchObject({ kind: 'unavailable', reason: expect.stringMatching(reason) });
    expect(receiver.requests).toHaveLength(1);
  });

  test('nobody listens', async () => {
    const sink = webhook({ url: `http://127.0.0.1:${await closedPort()}/secret` });
    const reason = 'the destination refused the connection (ECONNREFUSED)';
    expect(await sink.deliver(sampleBatch(three()), signal)).toEqual({
      kind: 'unavailable',
      reason,
      code: 'ECONNREFUSED',
    });
  });

  test('a certificate that nobody trusts', async () => {
    await using tls = await WebhookReceiver.startWithBadTls();
    const verdict = await webhook({ url: tls.url() }).deliver(sampleBatch(three()), signal);
    expect(verdict).toMatchObject({ reason: expect.stringMatching(/certificate that it signed itself/) });
    expect(tls.requests).toHaveLength(0);
  });

  test.each<Conduct>([
    { kind: 'reset_mid_answer', status: 200 },
    { kind: 'flood', status: 200 },
    { kind: 'drip', status: 200 },
    { kind: 'answer', status: 200, body: '{"error": "but the status says otherwise"}' },
    { kind: 'answer', status: 204 },
  ])('%j is delivered: the status is the answer', async (conduct) => {
    receiver.script(conduct);
    expect(await webhook().deliver(sampleBatch(three()), signal)).toEqual({ kind: 'delivered' });
  });

  test('an endless answer is cut off after a few KiB', async () => {
    receiver.script({ kind: 'flood', status: 500 });
    const verdict = (await webhook().deliver(sampleBatch(three()), signal)) as Extract<
      Verdict,
      { kind: 'unavailable' }
    >;
    expect(verdict.answer).toHaveLength(300);
    await receiver.abandoned();
    // What fits into the buffers of two sockets, far from the 100 MB it would have sent.
    expect(receiver.flooded).toBeLessThan(20e6);
  });

  test('a drip is left after a second, and sooner when the signal aborts', async () => {
    receiver.script({ kind: 'drip', status: 500 }, { kind: 'drip', status: 500 });
    const sink = webhook();
    const begun = performance.now();
    await sink.deliver(sampleBatch(three()), signal);
    expect(performance.now() - begun).toBeLessThan(1900);
    const controller = new AbortController();
    const delivering = sink.deliver(sampleBatch(three()), controller.signal);
    await receiver.received(2);
    controller.abort();
    expect(await delivering).toMatchObject({ kind: 'unavailable' });
    while (receiver.dripping > 0) await new Promise((resolve) => setImmediate(resolve));
    // After an abort undici connects again without need; that connection serves the next batch.
    expect(await sink.deliver(sampleBatch(three()), signal)).toEqual({ kind: 'delivered' });
    await sink.close();
    await receiver.abandoned();
  });

  test('an echo gives no secret away', async () => {
    receiver.otherwise = { kind: 'echo', status: 400 };
    const sink = webhook({ url: receiver.url('/hooks/s3cr3t-path'), headers: { 'x-api-key': 'k3y-of-the-receiver' } });
    const verdict = await sink.deliver(sampleBatch([sampleEvent({ payload: '{"name": "Ada"}' })]), signal);
    expect(verdict).toMatchObject({ kind: 'failed' });
    expect(JSON.stringify(verdict)).not.toMatch(/s3cr3t|k3y-of|Ada/);
    expect(verdict).toMatchObject({ answer: '(not kept: it repeats the request)' });
  });
});

test.each(['walpost', 'cloudevents'] as const)(
  'an echo of the body (%s) shows nothing of the event',
  async (format) => {
    receiver.otherwise = { kind: 'echo_body', status: 400 };
    const event = sampleEvent({ entityId: 'patient-77' });
    const verdict = await webhook({ format }).deliver(sampleBatch([event]), signal);
    expect(verdict).toMatchObject({ kind: 'failed', reason: expect.stringContaining('answered 400 Bad Request') });
    for (const shown of [event.organizationId, event.eventId, 'patient-77']) {
      expect(JSON.stringify(verdict)).not.toContain(shown);
    }
  },
);

test('a thousand batches go over as many connections as may be in flight', async () => {
  const sink = webhook({ concurrency: 4 });
  let left = 1000;
  const worker = async (): Promise<void> => {
    while (left-- > 0) expect(await sink.deliver(sampleBatch([sampleEvent()]), signal)).toEqual({ kind: 'delivered' });
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  expect(receiver.requests).toHaveLength(1000);
  expect(receiver.connections).toBe(4);
  await sink.close();
  await receiver.abandoned();
});

describe('options that cannot work are refused at the start', () => {
  test.each<[Partial<SinkConfigOf<'webhook'>>, string]>([
    [{ secret: 'whsec_not base64!' }, 'sinks.under-test.secret has something else than base64 after whsec_'],
    [{ secret: 'whsec_' }, 'sinks.under-test.secret'],
    [{ headers: { 'Webhook-Id': 'x' } }, 'sinks.under-test.headers.Webhook-Id is a header that walpost sets itself'],
    [{ headers: { 'Content-Length': '1' } }, 'sinks.under-test.headers.Content-Length'],
    [{ headers: { 'x-a': 'b\r\nc: d' } }, 'sinks.under-test.headers.x-a is not a valid HTTP header'],
    [{ headers: { 'x a': 'b' } }, 'is not a valid HTTP header'],
    [{ allow_private: false }, 'sinks.under-test.url is a private address; set allow_private: true'],
  ])('%j', (options, message) => {
    const problem = expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(message) });
    expect(() => webhook(options)).toThrow(problem);
  });
});
