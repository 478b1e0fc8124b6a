import { expect, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { openTraces, orNamePackage } from '../../src/observe/tracing/open-traces.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

vi.setConfig({ testTimeout: 60_000 });

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const ORGANIZATION = '6f1c3a52-0000-4000-8000-000000000001';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
  readonly links?: readonly { readonly traceId: string }[];
  readonly status?: { readonly code?: number };
}

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { stringValue?: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

function exportsOf(collector: WebhookReceiver): Exported[] {
  return collector.requests.map(({ body }) => JSON.parse(body.toString()) as Exported);
}

function spansOf(collector: WebhookReceiver): Span[] {
  return exportsOf(collector).flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );
}

function publish(traceparent: string): [string, string[]] {
  return [
    `SELECT walpost.publish(organization_id => $1, event_type => 'a.b', payload => '{"card":"4111"}', headers => $2)`,
    [ORGANIZATION, JSON.stringify({ traceparent })],
  ];
}

test('the trace of an event goes on through its parts, each attempt, and the request', async () => {
  await using database = await createTestDatabase();
  await using collector = await WebhookReceiver.start();
  await using receiver = await WebhookReceiver.start();
  receiver.script({ kind: 'answer', status: 503 });
  const secret = 'whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlcg==';
  await using walpost = await RunningWalpost.start({
    database,
    sinks: { hook: { type: 'webhook', url: receiver.url(), allow_private: true, secret } },
    cli: {
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
        OTEL_SERVICE_NAME: 'post-office',
        OTEL_BSP_SCHEDULE_DELAY: '100',
      },
    },
  });
  await database.query(...publish(`00-${TRACE}-${PARENT}-01`));
  const requests = await receiver.received(2);
  const attempts = await poll('both attempts are exported', async () => {
    const found = spansOf(collector).filter(({ name }) => name === 'deliver hook');
    return found.length === 2 ? found : undefined;
  });
  const spans = spansOf(collector);
  expect(spans.map(({ name }) => name).toSorted()).toEqual([
    'deliver hook',
    'deliver hook',
    'receive',
    'visibility',
    'window',
  ]);
  for (const { traceId, parentSpanId } of spans)
    expect({ traceId, parentSpanId }).toEqual({ traceId: TRACE, parentSpanId: PARENT });
  for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
    expect(BigInt(endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(startTimeUnixNano));
  }
  expect(attempts.map(({ spanId }) => `00-${TRACE}-${spanId}-01`)).toEqual(
    requests.map(({ headers }) => headers['traceparent']),
  );
  expect(attempts.map(({ status }) => status?.code ?? 0)).toEqual([2, 0]);
  const [{ resourceSpans: [exported] } = { resourceSpans: [] }] = exportsOf(collector);
  expect(exported?.resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'post-office' } });
  const text = JSON.stringify(exportsOf(collector));
  for (const kept of ['4111', ORGANIZATION, secret, receiver.url()]) expect(text).not.toContain(kept);
  expect((await walpost.stop()).code).toBe(0);
});

test('events of several traces in one batch: the first is the parent, the others are links', async () => {
  await using database = await createTestDatabase();
  await using collector = await WebhookReceiver.start();
  await using receiver = await WebhookReceiver.start();
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`, OTEL_BSP_SCHEDULE_DELAY: '60000' };
  const sinks = { hook: { type: 'webhook', url: receiver.url(), allow_private: true } };
  await using walpost = await RunningWalpost.start({ database, sinks, cli: { env } });
  const client = await database.client();
  await client.query('BEGIN');
  const other = TRACE.replace('4', '5');
  for (const trace of [TRACE, other, other]) await client.query(...publish(`00-${trace}-${PARENT}-01`));
  await client.query('COMMIT');
  await receiver.received(1);
  expect((await walpost.stop()).code).toBe(0); // what is left is sent at the end
  const delivery = spansOf(collector).find(({ name }) => name === 'deliver hook');
  expect(delivery).toMatchObject({ traceId: TRACE, links: [{ traceId: other }] });
});

test('without the variables nothing is loaded, and the request carries no trace', async () => {
  expect(await openTraces({}, systemClock)).toBeUndefined();
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
  expect(await openTraces({ ...endpoint, OTEL_SDK_DISABLED: 'true' }, systemClock)).toBeUndefined();
  expect(await openTraces({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }, systemClock)).toBeUndefined();
  await expect(openTraces({ OTEL_TRACES_EXPORTER: 'zipkin' }, systemClock)).rejects.toMatchObject({
    code: 'TRACING_UNAVAILABLE',
  });
});

test('a package that is not installed is named', async () => {
  const gone = '@opentelemetry/exporter-of-nobody';
  await expect(orNamePackage(['@opentelemetry/api', gone], () => import(gone))).rejects.toMatchObject({
    code: 'TRACING_UNAVAILABLE',
    message: expect.stringContaining(gone),
    remedy: `npm install @opentelemetry/api ${gone}`,
  });
});
