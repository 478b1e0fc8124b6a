import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * A TCP proxy on loopback with faults, between a client under test and a real server.
 *
 * `hold` is the half-open connection: both ends keep their sockets, nothing gets through, nobody is told. `cut` resets.
 * `slow` lets that many bytes a second through to the client. `forward` ends a fault; what was held goes on. `freeze` holds
 * for good what is connected now, and lets new connections through; `redirect` sends those to another server. `mute` holds for
 * good what the server says to one client, who is still heard. `alterAnswers` is given what the server says, to change bytes
 * in place.
 */
export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  private readonly server: net.Server;
  private readonly pairs = new Set<Pair>();
  private held = false;
  private bytesPerSecond = Infinity;
  private target: Target;

  private constructor(server: net.Server, target: Target) {
    this.server = server;
    this.target = target;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(target: Target): Promise<TcpProxy> {
    const server = net.createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new TcpProxy(server, target);
    server.on('connection', (client) => proxy.connect(client, net.connect(proxy.target.port, proxy.target.host)));
    return proxy;
  }

  /** In front of the server that the connection string names. */
  static async before(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    return TcpProxy.start({ host: hostname, port: Number(port) });
  }

  /** The same connection string by way of this proxy. */
  url(url: string): string {
    const through = new URL(url);
    through.hostname = '127.0.0.1';
    through.port = String(this.port);
    return through.href;
  }

  get connections(): number {
    return this.pairs.size;
  }

  alterAnswers: (chunk: Buffer) => void = () => undefined;

  /** Bytes that went from the server to clients. */
  delivered = 0;

  hold(): void {
    this.held = true;
    for (const { client, upstream } of this.pairs) {
      client.pause();
      upstream.pause();
    }
  }

  freeze(): void {
    for (const pair of this.pairs) {
      pair.frozen = true;
      pair.client.pause();
      pair.upstream.pause();
    }
  }

  /** @param port of the client as the server sees it: `client_port` of pg_stat_activity */
  mute(port: number): void {
    const pair = [...this.pairs].find(({ upstream }) => upstream.localPort === port);
    if (!pair) throw new Error(`nobody is connected from port ${port}`);
    pair.muted = true;
    pair.upstream.pause();
  }

  redirect(target: Target): void {
    this.target = target;
  }

  slow(bytesPerSecond: number): void {
    this.bytesPerSecond = bytesPerSecond;
  }

  forward(): void {
    this.held = false;
    this.bytesPerSecond = Infinity;
    for (const { client, upstream, frozen, muted } of this.pairs) {
      if (frozen) continue;
      client.resume();
      if (!muted) upstream.resume();
    }
  }

  cut(): void {
    for (const { client, upstream } of this.pairs) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private connect(client: net.Socket, upstream: net.Socket): void {
    const pair: Pair = { client, upstream, frozen: false, muted: false };
    const flows = (): boolean => !this.held && !pair.frozen;
    const answers = (): boolean => flows() && !pair.muted;
    this.pairs.add(pair);
    upstream.on('data', (chunk) => this.alterAnswers(chunk));
    pump(client, upstream, flows);
    pump(upstream, client, answers);
    upstream.on('data', (chunk) => this.account(chunk.length, upstream, answers));
    const end = (): void => {
      this.pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => !this.held && end());
    }
    if (!this.held) client.resume();
  }

  private account(bytes: number, upstream: net.Socket, flows: () => boolean): void {
    this.delivered += bytes;
    if (this.bytesPerSecond === Infinity) return;
    upstream.pause();
    setTimeout(() => flows() && upstream.resume(), (bytes / this.bytesPerSecond) * 1000);
  }
}

function pump(from: net.Socket, to: net.Socket, flows: () => boolean): void {
  from.on('data', (chunk) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => flows() && from.resume());
  from.on('end', () => flows() && to.end());
}

interface Target {
  readonly host: string;
  readonly port: number;
}

interface Pair {
  readonly client: net.Socket;
  readonly upstream: net.Socket;
  frozen: boolean;
  muted: boolean;
}
