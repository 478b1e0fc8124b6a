/** The way to a receiver: outbound proxies, private authorities, and TLS that does not come about. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect, type AddressInfo, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Verdicts } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { configOf, problemsOf } from '../support/config-file.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { closedPort } from '../support/webhook-receiver.ts';

let directory: string;
let ca: string;
let key: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'walpost-ca-'));
  [ca, key] = [join(directory, 'ca.pem'), join(directory, 'key.pem')];
  const names = 'subjectAltName=DNS:receiver.test,IP:127.0.0.1';
  const args = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver.test -addext ${names} -keyout ${key} -out ${ca}`;
  execFileSync('openssl', args.split(' '), { stdio: 'ignore' });
});
afterAll(() => rmSync(directory, { recursive: true }));

const servers: (NetServer | Server)[] = [];
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});

async function listening<S extends NetServer>(server: S): Promise<{ server: S; port: number }> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

const accept: RequestListener = (request, response) => void request.resume().on('end', () => response.end('ok'));
const plainReceiver = () => listening(createServer(accept));
const secureReceiver = () => listening(createSecureServer({ cert: readFileSync(ca), key: readFileSync(key) }, accept));

/** A proxy that connects whatever it is asked for to one port of this machine. */
async function proxyTo(port: number, status = 200): Promise<{ url: string; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = [];
  const server = createServer();
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    asked.push(request);
    client.on('error', () => undefined);
    if (status !== 200) return void client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
    const target = connect(port, '127.0.0.1').on('error', () => client.destroy());
    sockets.add(target);
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    target.pipe(client).pipe(target);
  });
  const { port: own } = await listening(server);
  return { url: `http://127.0.0.1:${own}`, asked };
}

async function deliver(options: object): Promise<Verdicts> {
  const config = sinkSchema.parse({ type: 'webhook', ...options });
  const sink = await createSink(config, contractContext);
  const verdicts = await sink.deliver(sampleBatch([sampleEvent()]), new AbortController().signal);
  await sink.close();
  return verdicts;
}

const DELIVERED = { kind: 'delivered' };
const unavailable = (reason: string) => ({ kind: 'unavailable', reason: expect.stringContaining(reason) as string });

describe('through a proxy', () => {
  test.each(['http', 'https'])('%s, and the proxy resolves the name', async (protocol) => {
    const { port } = await (protocol === 'https' ? secureReceiver() : plainReceiver());
    const { url: proxy, asked } = await proxyTo(port);
    expect(await deliver({ url: `${protocol}://receiver.test:${port}/hook`, proxy, ca })).toEqual(DELIVERED);
    expect(asked.map(({ url }) => url)).toEqual([`receiver.test:${port}`]);
    expect(asked[0]?.headers).not.toHaveProperty('proxy-authorization');
  });

  test('with the credentials of its URL, which no reason shows', async () => {
    const { port } = await plainReceiver();
    const { url, asked } = await proxyTo(port, 407);
    const proxy = url.replace('//', '//me:p%40ssword@');
    const verdict = await deliver({ url: 'http://receiver.test/hook', proxy });
    expect(asked[0]?.headers['proxy-authorization']).toBe(`Basic ${btoa('me:p@ssword')}`);
    expect(verdict).toEqual({
      kind: 'unavailable',
      reason:
        'the destination was not asked: the proxy of this sink does not let the connection pass (WALPOST_PROXY_REFUSED)',
      code: 'WALPOST_PROXY_REFUSED',
    });
  });

  test('that is not there', async () => {
    const proxy = `http://127.0.0.1:${await closedPort()}`;
    expect(await deliver({ url: 'http://receiver.test/hook', proxy })).toMatchObject(
      unavailable('the proxy of this sink cannot be reached (WALPOST_PROXY_UNREACHABLE)'),
    );
  });

  test('none: a direct connection keeps the address guard', async () => {
    const { port } = await plainReceiver();
    const { asked } = await proxyTo(port);
    const url = `http://127.0.0.1:${port}/hook`;
    expect(await deliver({ url, proxy: 'none', allow_private: true })).toEqual(DELIVERED);
    await expect(deliver({ url, proxy: 'none' })).rejects.toThrow(/private address/);
    expect(asked).toEqual([]);
  });

  test('a private address is not asked of the proxy either', async () => {
    const { port } = await plainReceiver();
    const { url: proxy, asked } = await proxyTo(port);
    await expect(deliver({ url: `http://127.0.0.1:${port}/hook`, proxy })).rejects.toThrow(/private address/);
    const live = { type: 'realtime', url: `http://127.0.0.1:${port}`, key: 'k', proxy };
    expect(await deliver(live)).toMatchObject([unavailable('private address')]);
    expect(asked).toEqual([]);
  });
});

describe('TLS', () => {
  test('with an authority of one’s own, from a file or as text, and not without', async () => {
    const { port } = await secureReceiver();
    const url = `https://127.0.0.1:${port}/hook`;
    expect(await deliver({ url, allow_private: true, ca })).toEqual(DELIVERED);
    expect(await deliver({ url, allow_private: true, ca: readFileSync(ca, 'utf8') })).toEqual(DELIVERED);
    expect(await deliver({ url, allow_private: true })).toMatchObject(unavailable('(DEPTH_ZERO_SELF_SIGNED_CERT)'));
  });

  test('a certificate for another name', async () => {
    const { port } = await secureReceiver();
    const url = `https://localhost:${port}/hook`;
    expect(await deliver({ url, allow_private: true, ca })).toMatchObject(
      unavailable('a certificate for another name'),
    );
  });

  test('https:// to a port that speaks http://', async () => {
    const { port } = await plainReceiver();
    const url = `https://127.0.0.1:${port}/hook`;
    expect(await deliver({ url, allow_private: true })).toMatchObject(unavailable('does not speak TLS on this port'));
  });

  test('a server that speaks HTTP/2 only', async () => {
    const { port } = await listening(
      createTlsServer({ cert: readFileSync(ca), key: readFileSync(key), ALPNProtocols: ['h2'] }),
    );
    const url = `https://127.0.0.1:${port}/hook`;
    expect(await deliver({ url, allow_private: true, ca })).toMatchObject(unavailable('HTTP/1.1 over TLS (ALPN)'));
  });
});

describe('the environment', () => {
  const file = (sink: string) =>
    `database: { url: postgres://localhost/app }\nsinks: { hook: { type: webhook, ${sink} } }\nroutes: [{ to: [hook] }]\n`;
  const proxyOf = (url: string, env: Record<string, string>, rest = ''): unknown =>
    (configOf(file(`url: "${url}"${rest}`), { env }).sinks['hook'] as { proxy?: string }).proxy;
  const HTTPS_PROXY = 'http://proxy.test:3128';

  test('off unless it is set', () => {
    expect(proxyOf('https://example.com', {})).toBeUndefined();
    expect(proxyOf('https://example.com', { HTTPS_PROXY: '' })).toBeUndefined();
    expect(proxyOf('http://example.com', { HTTPS_PROXY })).toBeUndefined();
  });

  test.each<[string, Record<string, string>, string | undefined]>([
    ['https://example.com', { HTTPS_PROXY }, HTTPS_PROXY],
    ['https://example.com', { https_proxy: 'proxy.test:3128' }, HTTPS_PROXY],
    ['http://example.com', { http_proxy: HTTPS_PROXY }, HTTPS_PROXY],
    ['https://hooks.example.com', { HTTPS_PROXY, NO_PROXY: 'other.test, example.com' }, undefined],
    ['https://hooks.example.com', { HTTPS_PROXY, NO_PROXY: '.example.com' }, undefined],
    ['https://hooks.example.com', { HTTPS_PROXY, no_proxy: '*.EXAMPLE.com' }, undefined],
    ['https://example.com', { HTTPS_PROXY, NO_PROXY: '*' }, undefined],
    ['https://example.com', { HTTPS_PROXY, NO_PROXY: 'example.com:443' }, undefined],
    ['https://example.com:8443', { HTTPS_PROXY, NO_PROXY: 'example.com:443' }, HTTPS_PROXY],
    ['https://badexample.com', { HTTPS_PROXY, NO_PROXY: 'example.com' }, HTTPS_PROXY],
  ])('%s with %j', (url, env, proxy) => {
    expect(proxyOf(url, env)).toBe(proxy);
  });

  test('this machine is reached without, and a sink decides for itself', () => {
    expect(proxyOf('https://localhost:1', { HTTPS_PROXY }, ', allow_private: true')).toBeUndefined();
    expect(proxyOf('https://example.com', { HTTPS_PROXY }, ', proxy: none')).toBe('none');
    expect(proxyOf('https://example.com', { HTTPS_PROXY }, ', proxy: "https://p.test"')).toBe('https://p.test');
  });

  test('what cannot be a proxy or a file of authorities is a problem', () => {
    const told = (sink: string, env = {}) => problemsOf(file(`url: "https://example.com", ${sink}`), { env });
    expect(told('proxy: "socks5://p.test"')).toEqual([
      expect.stringContaining('sinks.hook.proxy: must be a URL that begins'),
    ]);
    expect(told('proxy: "http://me:50%@p.test"')).toEqual([expect.stringContaining('write it as %25 (a secret)')]);
    expect(told('batch: true', { HTTPS_PROXY: 'ftp://p.test' })).toEqual([
      expect.stringMatching(/^HTTPS_PROXY sinks\.hook\.proxy: must be/),
    ]);
    expect(told(`ca: ${join(directory, 'none.pem')}`)).toEqual([
      expect.stringContaining('sinks.hook.ca: cannot be read (ENOENT)'),
    ]);
    expect(told(`ca: ${key}`)).toEqual([expect.stringContaining('sinks.hook.ca: holds no certificate')]);
    expect(told(`ca: ${ca}`)).toEqual([]);
  });
});
