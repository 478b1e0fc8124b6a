/**
 * A way through an outbound proxy: CONNECT (RFC 9110, 9.3.6), for http and https alike.
 *
 * The proxy looks up the name of the destination, so the address guard cannot see where the connection ends. Whoever
 * configures a proxy leaves that to the proxy.
 */
import { request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** The error codes of a connection that a proxy did not make. */
export const PROXY_UNREACHABLE = 'WALPOST_PROXY_UNREACHABLE';
export const PROXY_REFUSED = 'WALPOST_PROXY_REFUSED';

class ProxyError extends Error {
  readonly code: string;

  constructor(code: typeof PROXY_UNREACHABLE | typeof PROXY_REFUSED, cause?: unknown) {
    super('the proxy made no connection', { cause });
    this.code = code;
  }
}

export interface Tunnel {
  readonly proxy: URL;
  /** Connects to the proxy itself. */
  readonly reach: (host: string, port: number) => Promise<Socket>;
  /** `host:port` of the destination. */
  readonly authority: string;
  /** Milliseconds for the answer of the proxy. */
  readonly timeout: number;
}

/** A connection that ends at the destination. */
export async function openTunnel({ proxy, reach, authority, timeout }: Tunnel): Promise<Socket> {
  const secure = proxy.protocol === 'https:';
  const host = proxy.hostname.replace(/^\[(.*)\]$/, '$1');
  const plain = await reach(host, Number(proxy.port) || (secure ? 443 : 80)).catch((error: unknown) => {
    throw new ProxyError(PROXY_UNREACHABLE, error);
  });
  const socket = secure ? connectTls({ socket: plain, host, servername: host }) : plain;
  return new Promise((resolve, reject) => {
    const fail = (code: typeof PROXY_UNREACHABLE | typeof PROXY_REFUSED, cause?: unknown): void => {
      clearTimeout(limit);
      socket.destroy();
      reject(new ProxyError(code, cause));
    };
    const limit = setTimeout(() => fail(PROXY_UNREACHABLE), timeout);
    const asked = httpRequest({
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...credentialsOf(proxy) },
      createConnection: () => socket,
    });
    asked.on('error', (error) => fail(PROXY_UNREACHABLE, error));
    asked.on('connect', ({ statusCode = 0 }, tunnel: Socket, first: Buffer) => {
      if (statusCode < 200 || statusCode > 299) return fail(PROXY_REFUSED);
      clearTimeout(limit);
      tunnel.on('error', () => undefined);
      if (first.length > 0) tunnel.unshift(first);
      resolve(tunnel);
    });
    asked.end();
  });
}

function credentialsOf({ username, password }: URL): Record<string, string> {
  if (!username && !password) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair, 'utf8').toString('base64')}` };
}
