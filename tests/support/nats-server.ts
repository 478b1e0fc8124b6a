/** Debian's nats-server with JetStream on files, on loopback: one, or the nodes of a cluster. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { programMissing } from './debian-package.ts';
import { freePort } from './free-port.ts';
import { poll } from './slot-session.ts';

const PROGRAM = '/usr/sbin/nats-server';

/** Why there is none, in one line; undefined when there is. Call it at the top of a test file. */
export function natsServerMissing(): Promise<string | undefined> {
  return programMissing(PROGRAM, 'nats-server');
}

interface NatsServerOptions {
  /** Lines of its configuration beside port and store. */
  readonly config?: string;
  readonly port?: number;
  /** What all streams in memory may hold. */
  readonly memory?: string;
}

export class NatsServer implements AsyncDisposable {
  readonly port: number;
  private readonly directory: string;
  private child: ChildProcess | undefined;
  private log = '';

  private constructor(port: number, directory: string) {
    this.port = port;
    this.directory = directory;
  }

  static async start({ config = '', port, memory = '64MB' }: NatsServerOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(port ?? (await freePort()), await mkdtemp(join(tmpdir(), 'walpost-nats-')));
    const store = `jetstream { store_dir: "${server.directory}", max_file_store: 1GB, max_memory_store: ${memory} }`;
    const lines = [`listen: "127.0.0.1:${server.port}"`, store, config, ''];
    await writeFile(join(server.directory, 'nats.conf'), lines.join('\n'));
    await server.launch();
    return server;
  }

  /** Three nodes that elect leaders among themselves. */
  static async cluster(): Promise<NatsServer[]> {
    const ports = [await freePort(), await freePort(), await freePort()];
    const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
    const config = (port: number, node: number): string =>
      `server_name: n${node}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }`;
    return Promise.all(ports.map((port, node) => NatsServer.start({ config: config(port, node) })));
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it, at first and after `kill`; what its streams stored is there again. */
  async launch(): Promise<void> {
    const child = spawn(PROGRAM, ['-c', join(this.directory, 'nats.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    this.log = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        this.log += text;
        if (this.log.includes('Server is ready')) resolve();
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`nats-server ended: ${this.log}`)));
    });
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  connect(options: NodeConnectionOptions = {}): Promise<NatsConnection> {
    return connect({ servers: [this.url], ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Makes a stream on files; a cluster may have to elect its leader first. */
export async function addStream(
  connection: NatsConnection,
  stream: Partial<StreamConfig> = {},
): Promise<JetStreamManager> {
  return poll('the stream is made', async () => {
    const manager = await jetstreamManager(connection).catch(() => undefined);
    const made = await manager?.streams
      .add({ name: 'EVENTS', subjects: ['walpost.>'], ...stream })
      .catch(() => undefined);
    return made && manager;
  });
}

export interface StoredMessage {
  readonly subject: string;
  readonly id: string;
  readonly data: Buffer;
  readonly header: (name: string) => string;
}

/** Everything that the stream has stored, in its order. A cluster that has just elected a leader may leave questions unanswered. */
export async function storedIn(connection: NatsConnection, stream = 'EVENTS'): Promise<StoredMessage[]> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const { messages } = (await answered(() => manager.streams.info(stream))).state;
  if (messages === 0) return [];
  const consumer = await answered(() => manager.jetstream().consumers.get(stream));
  const stored: StoredMessage[] = [];
  const reading = await consumer.consume();
  for await (const { subject, data, headers } of reading) {
    const header = (name: string): string => headers?.get(name) ?? '';
    stored.push({ subject, id: header('Nats-Msg-Id'), data: Buffer.from(data), header });
    if (stored.length === messages) break;
  }
  return stored;
}

function answered<T>(ask: () => Promise<T>): Promise<T> {
  return poll('the stream answers', () => ask().catch(() => undefined), 60_000);
}
