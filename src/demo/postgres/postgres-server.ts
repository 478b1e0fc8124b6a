/**
 * One Postgres server on loopback, owned by this process: a copied data directory, a port, a postmaster.
 *
 * Settings go into postgresql.conf rather than onto the command line, so that ALTER SYSTEM and a restart can change them.
 * The postmaster has a session of its own: Ctrl-C on our terminal must reach us alone, since we stop it in our order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WalpostError } from '../../errors.ts';
import { freePort } from '../free-port.ts';
import { newCluster, program, serverEnvironment, serverUser } from './server-cache.ts';
import { watchOver } from './watchdog.ts';

/** smart waits for clients to leave; fast ends them; immediate is a crash, with recovery at the next start. */
export type StopMode = 'smart' | 'fast' | 'immediate';

export interface ServerBuild {
  readonly bin: string;
  readonly version: string;
  readonly template: string;
  readonly password: string;
}

export interface ServerOptions {
  /** Lines of postgresql.conf, over the defaults. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A free port by default. */
  readonly port?: number;
  /** Below which its files are; the directory of temporary files by default. */
  readonly below?: string;
}

const SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;
const READY_TIMEOUT_MS = 60_000;

const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_wal_senders: '50',
  max_replication_slots: '50',
  max_connections: '200',
  shared_buffers: '64MB',
  fsync: 'off',
  full_page_writes: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly version: string;
  readonly dataDirectory: string;
  /** What the server logged, for reading when something is odd. */
  readonly logFile: string;
  private readonly build: ServerBuild;
  private readonly cluster: string;
  private readonly dismissWatchdog: () => void;
  private process: ChildProcess | undefined;
  private disposal: Promise<void> | undefined;

  private constructor(build: ServerBuild, cluster: string, port: number) {
    this.build = build;
    this.cluster = cluster;
    this.port = port;
    this.version = build.version;
    this.dataDirectory = join(cluster, 'data');
    this.logFile = join(cluster, 'server.log');
    this.dismissWatchdog = watchOver(cluster);
  }

  static async start(build: ServerBuild, options: ServerOptions = {}): Promise<PostgresServer> {
    const cluster = await newCluster(build.template, options.below);
    const server = new PostgresServer(build, cluster, options.port ?? (await freePort()));
    try {
      const settings = { ...DEFAULT_SETTINGS, ...options.settings, port: String(server.port) };
      await appendFile(join(server.dataDirectory, 'postgresql.conf'), configurationText(settings));
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Process id of the postmaster; 0 while it is stopped. */
  get pid(): number {
    return this.process?.pid ?? 0;
  }

  url(database = 'postgres'): string {
    const password = encodeURIComponent(this.build.password);
    return `postgres://postgres:${password}@127.0.0.1:${this.port}/${encodeURIComponent(database)}`;
  }

  /** Starts it again after stop(), on the same port and data. */
  async start(): Promise<void> {
    if (this.process) return;
    const log = await open(this.logFile, 'a');
    const child = spawn(program(this.build.bin, 'postgres'), ['-D', this.dataDirectory], {
      ...serverUser,
      env: serverEnvironment,
      cwd: this.dataDirectory,
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    });
    let ended = false;
    const end = (): void => {
      ended = true;
      if (this.process === child) this.process = undefined;
    };
    child.once('exit', end).once('error', end);
    child.unref();
    this.process = child;
    await log.close();
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!(await this.isReady(child))) {
      if (ended || performance.now() > deadline) throw await this.startFailure();
      await delay(10);
    }
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    const child = this.process;
    if (!child) return;
    child.ref();
    const exit = once(child, 'exit');
    child.kill(SIGNALS[mode]);
    await exit;
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.disposal ??= this.dispose();
    return this.disposal;
  }

  private async dispose(): Promise<void> {
    await this.stop('immediate');
    await rm(this.cluster, { recursive: true, force: true, maxRetries: 3 });
    this.dismissWatchdog();
  }

  /** The postmaster keeps its process id and its state in its lock file. */
  private async isReady(child: ChildProcess): Promise<boolean> {
    const lines = await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
    const fields = lines.split('\n');
    return fields[0] === String(child.pid) && fields[7]?.trim() === 'ready';
  }

  private async startFailure(): Promise<WalpostError> {
    const log = await readFile(this.logFile, 'utf8').catch(() => '');
    return new WalpostError('EMBEDDED_POSTGRES', { detail: log.trim().split('\n').slice(-5).join(' ') });
  }
}

function configurationText(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([name, value]) => {
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name) || /[\r\n]/.test(value)) {
      throw new WalpostError('EMBEDDED_POSTGRES', { detail: `The setting ${JSON.stringify(name)} is malformed.` });
    }
    return `${name} = '${value.replace(/['\\]/g, (sign) => sign + sign)}'`;
  });
  return `\n${lines.join('\n')}\n`;
}
