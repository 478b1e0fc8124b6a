/**
 * What every example needs around it: a Postgres, walpost, and processes of its own.
 *
 * Everything that they have to know (connection strings, ports, a secret) is in the environment of each process, and in `.env` of
 * the example's folder, so that commands in another terminal find it while the example runs.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseEnv } from 'node:util';
import { startDatabase } from './database.ts';
import { Service } from './service.ts';
import { WALPOST } from './walpost.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const READY_WITHIN_MS = 60_000;

export class Example implements AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
  private readonly folder: string;
  private readonly parts: AsyncDisposable[];
  private readonly failures: Promise<never>[] = [];
  private readonly stop = new AbortController();

  private constructor(folder: string, env: Readonly<Record<string, string>>, parts: AsyncDisposable[]) {
    this.folder = folder;
    this.env = env;
    this.parts = parts;
    for (const signal of SIGNALS) process.once(signal, this.onSignal);
  }

  /**
   * Starts Postgres, and prepares the database with `walpost migrate` and schema.sql of the folder.
   *
   * @param ports names of variables; each gets a free port
   * @param more further variables
   */
  static async open(
    folder: string,
    ports: readonly string[] = [],
    more: Readonly<Record<string, string>> = {},
  ): Promise<Example> {
    await refuseSecond(folder);
    const secret = `whsec_${randomBytes(24).toString('base64')}`;
    const own: Record<string, string> = { WEBHOOK_SECRET: secret, ...more, EXAMPLE_PID: String(process.pid) };
    for (const name of ['WALPOST_PORT', ...ports]) own[name] = String(await freePort());
    say('starting Postgres, and making the schema (walpost migrate, schema.sql)');
    const database = await startDatabase(folder, own);
    const parts: AsyncDisposable[] = [database];
    try {
      const env = { ...own, ...database.logins };
      parts.push(await writeEnv(folder, env));
      return new Example(folder, env, parts);
    } catch (error) {
      await close(parts);
      throw error;
    }
  }

  /**
   * Starts a script of the folder as a process of its own.
   *
   * @param port the variable that holds the port on which it listens
   */
  async start(name: string, script: string, port?: string): Promise<void> {
    await this.service(name, ['--import', 'tsx', join(this.folder, script)], port);
  }

  /** `walpost run`, with walpost.yaml of the folder or what WALPOST_CONFIG names. Resolves when it streams. */
  async startWalpost(): Promise<void> {
    const walpost = await this.service('walpost', [WALPOST, 'run'], 'WALPOST_PORT');
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!(await this.isStreaming())) {
      if (performance.now() > deadline) throw new Error('walpost does not stream');
      await Promise.race([delay(50), walpost.failed]);
    }
  }

  say(text: string): void {
    say(text);
  }

  /** Resolves when a person has pressed Ctrl-C. */
  async untilStopped(): Promise<void> {
    const { signal } = this.stop;
    if (signal.aborted) return;
    await Promise.race([once(signal, 'abort'), ...this.failures]);
    say('stopping');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await close(this.parts);
    for (const signal of SIGNALS) process.off(signal, this.onSignal);
  }

  private readonly onSignal = (): void => this.stop.abort();

  private async service(name: string, args: readonly string[], port?: string): Promise<Service> {
    const { folder: cwd, env } = this;
    const at = port === undefined ? undefined : Number(env[port]);
    const service = new Service({ name, args, cwd, env, port: at, say });
    this.parts.push(service);
    this.failures.push(service.failed);
    await service.ready();
    return service;
  }

  private async isStreaming(): Promise<boolean> {
    const url = `http://127.0.0.1:${this.env['WALPOST_PORT']}/readyz`;
    return fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** In reverse order, so that nothing loses what it needs. */
async function close(parts: readonly AsyncDisposable[]): Promise<void> {
  for (const part of parts.toReversed()) await part[Symbol.asyncDispose]();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function writeEnv(folder: string, env: Readonly<Record<string, string>>): Promise<AsyncDisposable> {
  const path = join(folder, '.env');
  const lines = Object.entries(env).map(([name, value]) => `${name}='${value}'\n`);
  await writeFile(path, lines.join(''), { mode: 0o600 });
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

/** Two at once would share one `.env`. A file that a killed run has left is written anew. */
async function refuseSecond(folder: string): Promise<void> {
  const text = await readFile(join(folder, '.env'), 'utf8').catch(() => '');
  const pid = Number(parseEnv(text)['EXAMPLE_PID']);
  if (pid > 0 && isAlive(pid)) throw new Error(`this example runs already, as process ${pid}`);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
