import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import type { Sink } from '../../src/pipeline.ts';
import { createRealtimeSink } from '../../src/sinks/realtime/realtime-sink.ts';
import { createWebhookSink } from '../../src/sinks/webhook/webhook-sink.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { configOf, problemsOf } from '../support/config-file.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const signal = new AbortController().signal;
let receiver: WebhookReceiver;
const sinks: Sink[] = [];

beforeEach(async () => void (receiver = await WebhookReceiver.start()));
afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.close();
  await receiver[Symbol.asyncDispose]();
});

function keep(sink: Sink): Sink {
  sinks.push(sink);
  return sink;
}

function webhook(options: Partial<SinkConfigOf<'webhook'>>): Sink {
  const config = sinkSchema.parse({ type: 'webhook', url: receiver.url(), allow_private: true, ...options });
  return keep(createWebhookSink(config as SinkConfigOf<'webhook'>, contractContext));
}

const DISCORD = '{"content": "{{ event_type }}: {{ payload.text }}", "n": {{ payload.n | json }}}';

test('a body of the receiver’s form, one event a request, in order, with our headers', async () => {
  const events = ['a "b"', 'c'].map((text) => sampleEvent({ payload: JSON.stringify({ text, n: 1 }) }));
  expect(await webhook({ body: DISCORD }).deliver(sampleBatch(events), signal)).toEqual([
    { kind: 'delivered' },
    { kind: 'delivered' },
  ]);
  expect(receiver.requests.map(({ body }) => JSON.parse(body.toString()) as unknown)).toEqual([
    { content: 'job.completed: a "b"', n: 1 },
    { content: 'job.completed: c', n: 1 },
  ]);
  expect(receiver.requests[0]?.headers).toMatchObject({
    'content-type': 'application/json',
    'webhook-id': expect.stringMatching(/^batch_/),
    'idempotency-key': events[0]?.eventId,
  });
});

test('the Content-Type decides how values are escaped', async () => {
  const options = { body: '<a>{{ payload.text }}</a>', content_type: 'application/xml; charset=utf-8' };
  await webhook(options).deliver(sampleBatch([sampleEvent({ payload: '{"text": "<é>"}' })]), signal);
  expect(receiver.requests[0]?.body.toString()).toBe('<a>&lt;é&gt;</a>');
  expect(receiver.requests[0]?.headers['content-type']).toBe(options.content_type);
});

test('the signature is over the rendered bytes, of two secrets while they change', async () => {
  const [old, young] = ['0123456789abcdef01234567', 'another-key-for-rotation'].map(
    (text) => `whsec_${Buffer.from(text).toString('base64')}`,
  ) as [string, string];
  const event = sampleEvent({ payload: '{"text": "é ✓", "n": 12345678901234567890}' });
  await webhook({ body: DISCORD, secret: `${young} ${old}` }).deliver(sampleBatch([event]), signal);
  const { body, headers } = receiver.requests[0] as { body: Buffer; headers: Record<string, string> };
  expect(body.toString()).toBe('{"content": "job.completed: é ✓", "n": 12345678901234567890}');
  for (const secret of [old, young]) {
    new Webhook(secret).verify(body.toString(), headers);
    new SvixWebhook(secret).verify(body, headers);
    expect(() => new SvixWebhook(secret).verify(`${body.toString()} `, headers)).toThrow('No matching signature');
  }
});

test('an event that the template cannot render is a dead letter; the others go on', async () => {
  const events = ['{"n": 1}', '{"n": "s3cret"}', '{"n": 3}'].map((payload) => sampleEvent({ payload }));
  const verdicts = await webhook({ body: '{"n": {{ payload.n }}}' }).deliver(sampleBatch(events), signal);
  expect(verdicts).toEqual([
    { kind: 'delivered' },
    { kind: 'rejected', reason: 'the template in body gives no valid JSON for this event', code: 'TEMPLATE' },
    { kind: 'delivered' },
  ]);
  expect(receiver.requests.map(({ body }) => body.toString())).toEqual(['{"n": 1}', '{"n": 3}']);
});

test('one that takes too long is tried again', async () => {
  const loop = '{% for a in (1..1000) %}';
  const end = '{% endfor %}';
  const sink = webhook({ body: loop + loop + loop + end + end + end, content_type: 'text/plain' });
  expect(await sink.deliver(sampleBatch([sampleEvent()]), signal)).toMatchObject([
    { kind: 'failed', code: 'TEMPLATE' },
  ]);
  expect(receiver.requests).toEqual([]);
});

test('the preset n8n adds its headers to ours', async () => {
  const events = [sampleEvent({ idempotencyKey: 'order-7' }), sampleEvent({ eventType: 'größe' })];
  await webhook({ preset: 'n8n' }).deliver(sampleBatch(events), signal);
  expect(receiver.requests.map(({ headers }) => headers)).toMatchObject([
    { 'x-event-type': 'job.completed', 'x-idempotency-key': 'order-7', 'idempotency-key': 'order-7' },
    {
      'x-event-type': 'gr%C3%B6%C3%9Fe',
      'x-idempotency-key': events[1]?.eventId,
      'walpost-event-type': 'gr%C3%B6%C3%9Fe',
    },
  ]);
});

test('a key that stands in the template is not kept of an answer', async () => {
  const key = 'R02A1B2C3D4E5F6G7H8';
  receiver.script({ kind: 'answer', status: 400, body: `unknown routing key ${key}` });
  const sink = webhook({ body: `{"routing_key": "${key}", "n": 1}` });
  const verdicts = JSON.stringify(await sink.deliver(sampleBatch([sampleEvent()]), signal));
  expect(verdicts).toContain('unknown routing key');
  expect(verdicts).not.toContain(key.slice(0, 12));
});

test('a broadcast of Realtime can have a payload of its own', async () => {
  const body =
    '{"topic": "{{ topic }}", "data": {{ payload | json }}, "company_id": "{{ organization_id }}", "timestamp": "{{ created_at }}"}';
  const config = sinkSchema.parse({ type: 'realtime', url: receiver.url(''), key: 'k', allow_private: true, body });
  const sink = keep(createRealtimeSink(config as SinkConfigOf<'realtime'>, contractContext));
  const event = sampleEvent({ payload: '{"amount": 1.10}' });
  await sink.deliver(sampleBatch([event]), signal);
  expect(receiver.requests[0]?.body.toString()).toBe(
    `{"topic": "cataloging", "data": {"amount":1.10}, "company_id": "${event.organizationId}", "timestamp": "${event.createdAt}"}`,
  );
});

describe('config check', () => {
  const hook = (options: string): string =>
    `database: { url: postgres://localhost/app }
sinks:
  hook:
    type: webhook
    url: https://example.com/
    ${options.replaceAll('\n', '\n    ')}
routes: [{ to: [hook] }]
`;

  test('names the line, the path and what is wrong, and shows nothing of the template', () => {
    expect(problemsOf(hook(`body: '{"key": "s3cret", "text": "{{ txt }}"}'`))).toEqual([
      expect.stringMatching(
        /^walpost\.yaml:6:11 sinks\.hook\.body: line 1, column 31: names txt, a field that no event has; there is event_id, .* \(a secret\)$/,
      ),
    ]);
    expect(problemsOf(hook('body: not-there.liquid'))[0]).toContain('sinks.hook.body: cannot be read (ENOENT)');
  });

  test.each([
    [`body: '{}'\nbatch: true`, 'sinks.hook.batch: must not be true with a body'],
    ['preset: n8n\nbatch: true', 'sinks.hook.batch: must not be true with a preset'],
    [`body: '{}'\nformat: cloudevents`, 'sinks.hook.format: does not go together with a body'],
    ['content_type: text/plain', 'sinks.hook.content_type: needs a body'],
    [`body: '{}'\ncontent_type: 'a b'`, 'sinks.hook.content_type: must be a media type'],
  ])('%j', (options, problem) => {
    expect(problemsOf(hook(options))).toEqual([expect.stringContaining(problem)]);
  });

  test('a body that is sound', () => {
    expect(configOf(hook(`body: '{"text": "{{ payload.text }}"}'`)).sinks['hook']).toMatchObject({ type: 'webhook' });
  });
});
