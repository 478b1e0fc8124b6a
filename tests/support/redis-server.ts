import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { programMissing } from './debian-package.ts';
import { poll } from './slot-session.ts';

const PROGRAM = '/usr/bin/redis-server';

/** Why there is none, in one line; undefined when there is. Call it at the top of a test file. */
export function redisMissing(): Promise<string | undefined> {
  return programMissing(PROGRAM, 'redis-server');
}

export interface RedisServerOptions {
  /** As in redis.conf; `port` and `dir` are set here. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly password?: string;
}

/** A Redis of the test's own, with the append-only file written at each command, so that a kill loses nothing it answered. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly admin: Redis;
  private readonly directory: string;
  private readonly options: RedisServerOptions;
  private child: ChildProcess | undefined;
  private log = '';

  private constructor(port: number, directory: string, options: RedisServerOptions) {
    this.port = port;
    this.directory = directory;
    this.options = options;
    const { password } = options;
    this.admin = new Redis({
      port,
      lazyConnect: true,
      connectionName: 'admin',
      ...(password !== undefined && { password }),
    });
    this.admin.on('error', () => undefined);
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freeRedisPort(), await mkdtemp(join(tmpdir(), 'walpost-redis-')), options);
    await server.restart();
    return server;
  }

  get url(): string {
    const { password } = this.options;
    return `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${this.port}`;
  }

  /** Starts it, with the data that it had. */
  async restart(): Promise<void> {
    const { settings, password } = this.options;
    const all = {
      bind: '127.0.0.1',
      port: String(this.port),
      dir: this.directory,
      save: '',
      appendonly: 'yes',
      appendfsync: 'always',
      ...(password !== undefined && { requirepass: password }),
      ...settings,
    };
    const words = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
    this.log = '';
    this.child = spawn(PROGRAM, words, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    await poll('Redis is up', () => {
      if (this.child?.exitCode !== null) throw new Error(`redis-server ended: ${this.log}`);
      return Promise.resolve(this.log.includes('Ready to accept connections') || undefined);
    });
    if (settings?.['port'] !== '0' && /^(wait|end)$/.test(this.admin.status)) await this.admin.connect();
  }

  async kill(): Promise<void> {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  /** Connections of walpost. */
  async clients(): Promise<number> {
    const list = String(await this.admin.call('CLIENT', 'LIST'));
    return list.split('\n').filter((line) => line.includes('name=walpost ')).length;
  }

  /** A client waits in the server for writes to be let through again (CLIENT PAUSE). */
  async holdsWrite(): Promise<void> {
    await poll(
      'a write waits',
      async () => /blocked_clients:[1-9]/.test(await this.admin.info('clients')) || undefined,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.admin.disconnect();
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export async function freeRedisPort(): Promise<number> {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  // A node of a cluster listens at this number and 10,000 above it.
  return port < 55_000 ? port : freeRedisPort();
}
