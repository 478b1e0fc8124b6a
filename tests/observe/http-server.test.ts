import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import type { Health } from '../../src/observe/health.ts';
import { HttpServer, type HttpServerOptions } from '../../src/http/server.ts';
import type { Readiness } from '../../src/observe/status-report.ts';
import { sampleReport } from '../support/status-report.ts';

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
});

async function serve(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  const server = await HttpServer.start({
    host: '127.0.0.1',
    port: 0,
    health: () => ({ alive: true, detail: 'alive' }),
    readiness: () => ({ ready: true, degraded: false, role: 'leader', detail: 'streaming' }),
    status: async () => sampleReport(),
    metrics: { contentType: 'text/plain; version=0.0.4', render: async () => 'walpost_leader 1\n' },
    ...options,
  });
  servers.push(server);
  return server;
}

interface Got {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function ask(
  server: HttpServer,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Got> {
  const { method = 'GET', body = '' } = options;
  const headers = { ...options.headers, ...(body && { 'content-length': String(body.length) }) };
  const { address, port } = server.address;
  const request = httpRequest({ host: address, port, path, method, headers, agent: false });
  request.end(body);
  const [response] = await once(request, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

describe('pages', () => {
  test('health follows the process', async () => {
    let health: Health = { alive: true, detail: 'alive' };
    const server = await serve({ health: () => health });
    expect(await ask(server, '/healthz')).toMatchObject({ status: 200, body: '{"alive":true,"detail":"alive"}\n' });
    health = { alive: false, detail: 'stuck' };
    expect(await ask(server, '/healthz')).toMatchObject({ status: 503, body: '{"alive":false,"detail":"stuck"}\n' });
  });

  test.each<[Readiness, number]>([
    [{ ready: true, degraded: false, role: 'leader', detail: 'streaming' }, 200],
    [{ ready: true, degraded: true, role: 'leader', detail: 'streaming; parking fails' }, 200],
    [{ ready: true, degraded: false, role: 'standby', detail: 'waiting' }, 200],
    [{ ready: false, degraded: false, role: 'starting', detail: 'connecting' }, 503],
  ])('readiness says which: %j', async (readiness, status) => {
    const got = await ask(await serve({ readiness: () => readiness }), '/readyz');
    expect(got.status).toBe(status);
    expect(JSON.parse(got.body)).toEqual(readiness);
  });

  test('metrics and status', async () => {
    const server = await serve();
    const metrics = await ask(server, '/metrics?x=1');
    expect(metrics).toMatchObject({ status: 200, body: 'walpost_leader 1\n' });
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4');
    const status = await ask(server, '/status');
    expect(status.headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    expect(JSON.parse(status.body)).toEqual(sampleReport());
  });

  test('a status that cannot be had is 503, without secrets', async () => {
    const failing = await serve({ status: () => Promise.reject(new Error('postgres://a:hunter2@db is away')) });
    const got = await ask(failing, '/status');
    expect(got.status).toBe(503);
    expect(JSON.parse(got.body)).toEqual({ error: 'postgres://(not shown)@db is away' });
  });

  test.each(['/', '/statuss', '/healthz/', '/__proto__', '/constructor', '//healthz'])(
    '%s is not found',
    async (path) => {
      expect((await ask(await serve(), path)).status).toBe(404);
    },
  );

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('%s is not allowed', async (method) => {
    const got = await ask(await serve(), '/status', { method, body: 'x'.repeat(100_000) });
    expect(got).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD', connection: 'close' } });
  });

  test('HEAD is GET without the body', async () => {
    const got = await ask(await serve(), '/healthz', { method: 'HEAD' });
    expect(got).toMatchObject({ status: 200, body: '', headers: { 'content-length': '32' } });
  });
});

describe('who may read metrics and status', () => {
  const TOKEN = 'a-token-of-16-chars';

  test.each(['/metrics', '/status'])('%s needs the token when there is one', async (path) => {
    const server = await serve({ token: TOKEN });
    const refused = await ask(server, path);
    expect(refused).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } });
    expect(refused.body).not.toContain(TOKEN);
    expect((await ask(server, path, { headers: { authorization: `Bearer ${TOKEN}x` } })).status).toBe(401);
    expect((await ask(server, path, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);
  });

  test('health needs none', async () => {
    const server = await serve({ token: TOKEN });
    expect((await ask(server, '/healthz')).status).toBe(200);
    expect((await ask(server, '/readyz')).status).toBe(200);
  });

  test.each([
    ['localhost:9464', 200],
    ['127.0.0.1', 200],
    ['[::1]:9464', 200],
    ['rebound.example:9464', 403],
    ['10.0.0.1', 403],
    ['localhost.rebound.example', 403],
  ])('without a token a request must name this machine: %s', async (host, expected) => {
    expect((await ask(await serve(), '/status', { headers: { host } })).status).toBe(expected);
  });

  test('without a token a server that listens everywhere answers nobody', async () => {
    const server = await serve({ host: '0.0.0.0' });
    const { port } = server.address;
    expect((await fetch(`http://127.0.0.1:${port}/status`)).status).toBe(403);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  });
});

function promiseOf(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

describe('hardening', () => {
  test('headers beyond 8 KiB are refused', async () => {
    const got = await ask(await serve(), '/healthz', { headers: { 'x-long': 'x'.repeat(9000) } });
    expect(got.status).toBe(431);
  });

  test('a connection that is kept alive does not hold closing up', async () => {
    const server = await serve();
    const socket = connect(server.address.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await once(socket, 'data');
    const ended = once(socket, 'close');
    await server.close(60_000);
    socket.destroy();
    await ended;
  });

  test('nor does a request that never ends', async () => {
    const { promise: asked, resolve } = promiseOf();
    const server = await serve({ status: () => new Promise(() => resolve()) });
    const socket = connect(server.address.port, '127.0.0.1');
    const ended = once(socket.resume(), 'close');
    await once(socket, 'connect');
    socket.write('GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await asked;
    await server.close(50);
    await ended;
    expect(socket.bytesRead).toBe(0);
  });

  test('closing twice is fine', async () => {
    const server = await serve();
    await Promise.all([server.close(), server.close()]);
    await server.close();
  });

  test('an address in use is an error that says so', async () => {
    const first = await serve();
    await expect(serve({ port: first.address.port })).rejects.toMatchObject({
      code: 'HTTP_LISTEN',
      message: expect.stringContaining(`127.0.0.1:${first.address.port}`),
    });
  });
});
