import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * A TCP proxy on loopback with faults, between a client under test and a real server.
 *
 * `hold` is the half-open connection: both ends keep their sockets, nothing gets through, nobody is told. `cut` resets.
 * `slow` lets that many bytes a second through to the client. `forward` ends a fault; what was held goes on.
 */
export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  private readonly server: net.Server;
  private readonly pairs = new Set<Pair>();
  private held = false;
  private bytesPerSecond = Infinity;

  private constructor(server: net.Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(target: { host: string; port: number }): Promise<TcpProxy> {
    const server = net.createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new TcpProxy(server);
    server.on('connection', (client) => proxy.connect(client, net.connect(target.port, target.host)));
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

  /** Bytes that went from the server to clients. */
  delivered = 0;

  hold(): void {
    this.held = true;
    for (const { client, upstream } of this.pairs) {
      client.pause();
      upstream.pause();
    }
  }

  slow(bytesPerSecond: number): void {
    this.bytesPerSecond = bytesPerSecond;
  }

  forward(): void {
    this.held = false;
    this.bytesPerSecond = Infinity;
    for (const { client, upstream } of this.pairs) {
      client.resume();
      upstream.resume();
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
    const pair = { client, upstream };
    this.pairs.add(pair);
    this.pump(client, upstream);
    this.pump(upstream, client);
    upstream.on('data', (chunk) => this.account(chunk.length, upstream));
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

  private pump(from: net.Socket, to: net.Socket): void {
    from.on('data', (chunk) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => !this.held && from.resume());
    from.on('end', () => !this.held && to.end());
  }

  private account(bytes: number, upstream: net.Socket): void {
    this.delivered += bytes;
    if (this.bytesPerSecond === Infinity) return;
    upstream.pause();
    setTimeout(() => !this.held && upstream.resume(), (bytes / this.bytesPerSecond) * 1000);
  }
}

interface Pair {
  readonly client: net.Socket;
  readonly upstream: net.Socket;
}
