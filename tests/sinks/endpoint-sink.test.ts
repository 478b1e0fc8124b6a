/** A webhook with endpoints: true, with real receivers. The endpoints are given here; tests/relay has those of the database. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { EndpointTarget, EndpointTargets } from '../../src/endpoint.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const OLD = `whsec_${Buffer.from('the secret that was there').toString('base64')}`;
const NEW = `whsec_${Buffer.from('the secret that comes now').toString('base64')}`;

const opened: (Sink | AsyncDisposable)[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await ('close' in each ? each.close() : each[Symbol.asyncDispose]());
});

async function receiver(): Promise<WebhookReceiver> {
  const started = await WebhookReceiver.start();
  opened.push(started);
  return started;
}

/** The endpoints by their ids, and which of them said that they are gone. */
class Targets implements EndpointTargets {
  readonly gone_: string[] = [];
  committedAt: number | null | undefined;
  readonly byId: Record<string, EndpointTarget>;

  constructor(byId: Record<string, EndpointTarget>) {
    this.byId = byId;
  }

  targetOf(endpointId: string): Promise<EndpointTarget | undefined> {
    return Promise.resolve(this.byId[endpointId]);
  }

  gone(endpointId: string, committedAt: number | null): void {
    this.gone_.push(endpointId);
    this.committedAt = committedAt;
  }
}

async function sinkOf(targets: EndpointTargets, options: object = { allow_loopback: true }): Promise<Sink> {
  const config = sinkSchema.parse({ type: 'webhook', endpoints: true, ...options });
  const sink = await createSink(config, { ...contractContext, endpoints: targets });
  opened.push(sink);
  return sink;
}

const endpoint = (url: string, more: Partial<EndpointTarget> = {}): EndpointTarget => ({
  url,
  headers: {},
  secrets: [OLD],
  ...more,
});

function deliver(sink: Sink, lane: string): Promise<Verdict> {
  const batch = { ...sampleBatch([sampleEvent()]), lane };
  return sink.deliver(batch, AbortSignal.timeout(5_000)) as Promise<Verdict>;
}

test('a batch goes to the endpoint of its lane, with its headers, and signed by each of its secrets', async () => {
  const [one, two] = [await receiver(), await receiver()];
  const targets = new Targets({
    one: endpoint(one.url('/a'), { headers: { 'X-Key': 'k' }, secrets: [NEW, OLD] }),
    two: endpoint(two.url('/b')),
  });
  const sink = await sinkOf(targets, { allow_loopback: true, headers: { 'X-Of-Operator': 'o' } });
  expect(await deliver(sink, 'one')).toEqual({ kind: 'delivered' });
  expect([one.requests.length, two.requests.length]).toEqual([1, 0]);
  const [request] = one.requests;
  expect(request?.path).toBe('/a');
  expect(request?.headers).toMatchObject({ 'x-key': 'k', 'x-of-operator': 'o' });
  const headers = request?.headers as Record<string, string>;
  for (const secret of [OLD, NEW]) {
    expect(new Webhook(secret).verify(request?.body.toString() ?? '', headers)).toMatchObject({ sink: 'under-test' });
  }
  const stranger = new Webhook(`whsec_${Buffer.from('of somebody else altogether').toString('base64')}`);
  expect(() => stranger.verify(request?.body.toString() ?? '', headers)).toThrow('No matching signature');
});

test('headers that say where a request goes, or that walpost sets, are not those of a customer', async () => {
  const one = await receiver();
  const headers = { Host: 'internal', 'Webhook-Id': 'mine', 'Proxy-Authorization': 'x', 'Content-Type': 'text/plain' };
  const sink = await sinkOf(new Targets({ one: endpoint(one.url(), { headers }) }));
  expect(await deliver(sink, 'one')).toEqual({ kind: 'delivered' });
  const got = one.requests[0]?.headers;
  expect(got).toMatchObject({ host: `127.0.0.1:${one.port}`, 'content-type': 'application/json' });
  expect(got?.['webhook-id']).not.toBe('mine');
  expect(got).not.toHaveProperty('proxy-authorization');
});

test('410 disables the endpoint, and its events wait until that has happened', async () => {
  const one = await receiver();
  one.otherwise = { kind: 'answer', status: 410 };
  const targets = new Targets({ one: endpoint(one.url()) });
  expect(await deliver(await sinkOf(targets), 'one')).toMatchObject({ kind: 'unavailable', code: 'HTTP_410' });
  expect(targets.gone_).toEqual(['one']);
  expect(targets.committedAt).toBe(Date.parse('2026-11-20T14:00:00.130Z'));
});

test.each([404, 500])('%i does not', async (status) => {
  const one = await receiver();
  one.otherwise = { kind: 'answer', status };
  const targets = new Targets({ one: endpoint(one.url()) });
  expect(await deliver(await sinkOf(targets), 'one')).toMatchObject({ kind: 'unavailable', code: `HTTP_${status}` });
  expect(targets.gone_).toEqual([]);
});

test('an event for an endpoint that is not there is a dead letter, and nothing is sent', async () => {
  const verdict = await deliver(await sinkOf(new Targets({})), 'one');
  expect(verdict).toMatchObject({ kind: 'rejected', code: 'ENDPOINT_DISABLED' });
});

test('an address of this machine is refused unless the sink says otherwise, and others always are', async () => {
  const one = await receiver();
  const urls = {
    one: endpoint(one.url().replace('http:', 'https:')),
    two: endpoint('https://10.0.0.1/'),
    three: endpoint('https://169.254.169.254/'),
  };
  const strict = await sinkOf(new Targets(urls), {});
  const lenient = await sinkOf(new Targets(urls));
  const refused = {
    code: 'WALPOST_ADDRESS_REFUSED',
    reason: 'the endpoint has a private address, where nothing is sent',
  };
  expect(await deliver(strict, 'one')).toMatchObject(refused);
  expect(one.connections).toBe(0);
  expect(await deliver(lenient, 'two')).toMatchObject(refused);
  expect(await deliver(lenient, 'three')).toMatchObject(refused);
});

test('a URL that no function of the database lets in is not asked either', async () => {
  const one = await receiver();
  const withUser = one.url().replace('//', '//user:s3cr3t@');
  const urls = [withUser, 'http://example.invalid/', 'ftp://example.invalid/', 'file:///etc/passwd', 'no URL'];
  const sink = await sinkOf(new Targets(Object.fromEntries(urls.map((url) => [url, endpoint(url)]))));
  for (const url of urls) {
    const verdict = await deliver(sink, url);
    expect({ url, ...verdict }).toMatchObject({ url, kind: 'unavailable', code: 'ENDPOINT_URL' });
    expect(JSON.stringify(verdict)).not.toContain('s3cr3t');
  }
  const strict = await sinkOf(new Targets({ one: endpoint(one.url()) }), {});
  expect(await deliver(strict, 'one')).toMatchObject({ code: 'ENDPOINT_URL' });
  expect(one.connections).toBe(0);
});

test('behind a proxy the address is checked before the proxy is asked, and it is asked for what was checked', async () => {
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request: IncomingMessage, socket) => {
    asked.push(request.url ?? '');
    socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n');
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  opened.push({ [Symbol.asyncDispose]: () => new Promise((resolve) => proxy.close(() => resolve())) });
  const through = { proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
  const targets = new Targets({ one: endpoint('https://localhost:9/'), two: endpoint('https://127.0.0.1:9/') });
  const strict = await sinkOf(targets, through);
  expect(await deliver(strict, 'one')).toMatchObject({ code: 'WALPOST_ADDRESS_REFUSED' });
  expect(await deliver(strict, 'two')).toMatchObject({ code: 'WALPOST_ADDRESS_REFUSED' });
  expect(asked).toEqual([]);
  await deliver(await sinkOf(targets, { ...through, allow_loopback: true }), 'one');
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatch(/^(127\.0\.0\.1|\[::1\]):9$/);
});

test('what an endpoint answers is kept without its secrets and its headers', async () => {
  const one = await receiver();
  const headers = { 'x-key': 'the-key-of-the-customer' };
  one.otherwise = { kind: 'answer', status: 500, body: `no: ${OLD} the-key-of-the-customer /hook/t0ken` };
  const sink = await sinkOf(new Targets({ one: endpoint(one.url('/hook/t0ken'), { headers }) }));
  const verdict = JSON.stringify(await deliver(sink, 'one'));
  expect(verdict).toContain('HTTP_500');
  for (const secret of [OLD, 'the-key-of-the-customer', 't0ken']) expect(verdict).not.toContain(secret);
});
