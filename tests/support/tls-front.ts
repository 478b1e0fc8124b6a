/** Stands between a client and a real server: TLS with a certificate of the test's own, and plain TCP to the server. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Certificate } from './certificates.ts';

export class TlsFront implements AsyncDisposable {
  readonly port: number;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly received: Buffer[] = [];

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(certificate: Certificate, serverPort: number): Promise<TlsFront> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const front = new TlsFront(server);
    server.on('connection', (socket) => front.serve(socket, certificate, serverPort));
    return front;
  }

  /** Types of the messages that clients sent after their first packet; p carries a password or a step of SCRAM. */
  get messages(): string {
    return this.received.map((text) => String.fromCharCode(text[0] ?? 0)).join('');
  }

  private serve(socket: Socket, { cert, key }: Certificate, serverPort: number): void {
    const server = connect(serverPort, '127.0.0.1');
    for (const each of [socket, server]) this.sockets.add(each.on('error', () => each.destroy()));
    socket.once('data', () => {
      socket.write('S');
      const client = new TLSSocket(socket, { isServer: true, cert: readFileSync(cert), key: readFileSync(key) });
      client.on('error', () => socket.destroy()).on('close', () => server.destroy());
      client.once('data', () => client.on('data', (sent: Buffer) => this.received.push(sent)));
      client.pipe(server).pipe(client);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}
