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
import { type Database, startDatabase } from './database.ts';
import { ExampleError, explainFailures } from './example-error.ts';
import { Service } from './service.ts';
import { WALPOST } from './walpost.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const READY_WITHIN_MS = 60_000;

type Variables = Readonly<Record<string, string>>;

export class Example implements AsyncDisposable {
  private readonly folder: string;
  private readonly variables: Record<string, string>;
  private readonly database: Database;
  private readonly parts: AsyncDisposable[];
  private readonly services = new Map<string, Service>();
  private readonly failures: Promise<never>[] = [];
  private readonly stop = new AbortController();

  private constructor(folder: string, variables: Record<string, string>, database: Database) {
    this.folder = folder;
    this.variables = variables;
    this.database = database;
    this.parts = [database, { [Symbol.asyncDispose]: () => rm(join(folder, '.env'), { force: true }) }];
    for (const signal of SIGNALS) process.once(signal, this.onSignal);
  }

  /**
   * Starts Postgres, and prepares the database with `walpost migrate` and schema.sql of the folder.
   *
   * @param ports names of variables; each gets a free port
   * @param more further variables
   * @param relayUrl the way that walpost takes to the database, when it is another one
   */
  static async open(
    folder: string,
    ports: readonly string[] = [],
    more: Variables = {},
    relayUrl: (url: string) => string = (url) => url,
  ): Promise<Example> {
    explainFailures();
    await refuseSecond(folder);
    const secret = `whsec_${randomBytes(24).toString('base64')}`;
    const own: Record<string, string> = { WEBHOOK_SECRET: secret, ...more, EXAMPLE_PID: String(process.pid) };
    for (const name of ['WALPOST_PORT', ...ports]) own[name] = String(await freePort());
    say('starting Postgres, and making the schema (walpost migrate, schema.sql)');
    const database = await startDatabase(folder, own);
    try {
      const variables = { ...own, ...database.logins, DATABASE_URL: relayUrl(database.logins.DATABASE_URL) };
      await writeEnv(folder, variables);
      return new Example(folder, variables, database);
    } catch (error) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of every process. */
  get env(): Variables {
    return this.variables;
  }

  /**
   * Starts a script of the folder as a process of its own.
   *
   * @param port the variable that holds the port on which it listens
   */
  async start(name: string, script: string, port?: string): Promise<void> {
    await this.service(name, [process.execPath, '--import', 'tsx', join(this.folder, script)], port);
  }

  /** Starts a program of the machine with its arguments, such as a Redis of the example's own. */
  async startProgram(name: string, command: readonly string[], port?: string): Promise<void> {
    await this.service(name, command, port);
  }

  /** `walpost run`, with walpost.yaml of the folder or what WALPOST_CONFIG names. Resolves when it streams. */
  async startWalpost(): Promise<void> {
    const walpost = await this.service('walpost', [process.execPath, WALPOST, 'run'], 'WALPOST_PORT');
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!(await this.isStreaming())) {
      if (performance.now() > deadline) {
        throw new ExampleError('walpost does not stream.', 'Its lines above say why.');
      }
      await Promise.race([delay(50), walpost.failed]);
    }
  }

  /** Stops a process in good order; it is started again with these variables, as a deployment does it. */
  async redeploy(name: string, variables: Variables): Promise<void> {
    Object.assign(this.variables, variables);
    await writeEnv(this.folder, this.variables);
    await this.services.get(name)?.restart();
  }

  /** A crash of Postgres, and its recovery. */
  crashDatabase(): Promise<void> {
    return this.database.crash();
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

  private async service(name: string, command: readonly string[], port?: string): Promise<Service> {
    const { folder: cwd, env } = this;
    const at = port === undefined ? undefined : Number(env[port]);
    const service = new Service({ name, command, cwd, env, port: at, say });
    this.parts.push(service);
    this.services.set(name, service);
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

async function writeEnv(folder: string, env: Variables): Promise<void> {
  const lines = Object.entries(env).map(([name, value]) => `${name}='${value}'\n`);
  await writeFile(join(folder, '.env'), lines.join(''), { mode: 0o600 });
}

/** Two at once would share one `.env`. A file that a killed run has left is written anew. */
async function refuseSecond(folder: string): Promise<void> {
  const file = join(folder, '.env');
  const pid = Number(parseEnv(await readFile(file, 'utf8').catch(() => ''))['EXAMPLE_PID']);
  if (!(pid > 0 && isAlive(pid))) return;
  throw new ExampleError(
    `This example runs already, as process ${pid}.`,
    `Stop it with Ctrl-C in its terminal. If that process is something else, delete ${file}.`,
  );
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
