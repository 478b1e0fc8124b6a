/** The real process, `walpost run`, around one database, and what it says of itself over HTTP. */
import { readFile } from 'node:fs/promises';
import { parseLsn } from '../../src/lsn.ts';
import { ConfigFile } from '../support/config-file.ts';
import type { TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { Cli, type CliOptions } from '../support/walpost-cli.ts';

export interface RunOptions {
  readonly database: TestDatabase;
  readonly sinks: Readonly<Record<string, object>>;
  /** Further sections of the configuration; `source` keeps the database's slot name. */
  readonly config?: Readonly<Record<string, object>>;
  /** Another way to the database than its own connection string. */
  readonly url?: string;
  readonly cli?: CliOptions;
}

/** The configuration as a process of production has it, but for the names and a free port. */
export function configOf({ database, sinks, config = {}, url = database.url }: RunOptions): Record<string, object> {
  return {
    routes: [{ to: Object.keys(sinks) }],
    http: { port: 0 },
    log: { format: 'json' },
    ...config,
    database: { url, ...config['database'] },
    source: { slot: database.slotName, ...config['source'] },
    sinks,
  };
}

export class RunningWalpost implements AsyncDisposable {
  readonly cli: Cli;
  readonly #file: ConfigFile;
  readonly #database: TestDatabase;

  constructor(options: RunOptions) {
    this.#database = options.database;
    this.#file = new ConfigFile(JSON.stringify(configOf(options)));
    this.cli = new Cli(['run', '--config', this.#file.path], options.cli);
  }

  /** Resolves when it streams. */
  static async start(options: RunOptions): Promise<RunningWalpost> {
    const running = new RunningWalpost(options);
    try {
      await running.cli.prints(/"msg":"streaming from/);
      return running;
    } catch (error) {
      await running[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${/"port":(\d+)/.exec(this.cli.stderr)?.[1]}`;
  }

  /** The sum of a metric's samples, over all labels or those that are given, as they are printed. */
  async metric(name: string, labels = ''): Promise<number> {
    const answer = await fetch(`${this.url}/metrics`).catch((error: unknown) => {
      throw new Error(`no metrics: ${this.cli.stderr}`, { cause: error });
    });
    const text = await answer.text();
    const lines = text.split('\n').filter((line) => /^[^#]/.test(line) && line.split(/[ {]/)[0] === name);
    const values = lines.filter((line) => line.includes(labels)).map((line) => Number(line.split(' ').at(-1)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  /** What the slot has confirmed. */
  async confirmed(): Promise<bigint> {
    const [row] = await this.#database.query<{ lsn: string | null }>(
      'SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1',
      [this.#database.slotName],
    );
    return parseLsn(row?.lsn ?? '0/0') ?? 0n;
  }

  /** The cursor row. */
  async cursor(): Promise<bigint> {
    const [row] = await this.#database.query<{ lsn: string | null }>(
      'SELECT lsn::text AS lsn FROM walpost.cursor WHERE slot = $1',
      [this.#database.slotName],
    );
    return parseLsn(row?.lsn ?? '0/0') ?? 0n;
  }

  /** Resolves, with the milliseconds it took, when the slot has confirmed more than this position. */
  async confirms(beyond: bigint, timeout = 5_000): Promise<number> {
    const begun = performance.now();
    await poll('confirmed', async () => ((await this.confirmed()) > beyond ? true : undefined), timeout);
    return performance.now() - begun;
  }

  /** Largest resident size so far, in bytes; Linux only. */
  async peakMemory(): Promise<number> {
    const status = await readFile(`/proc/${this.cli.child.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) * 1024;
  }

  /** Tells it to stop; with its exit code and how long it took. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ code: number | string | null; took: number }> {
    const begun = performance.now();
    this.cli.child.kill(signal);
    const { code } = await this.cli.result();
    return { code, took: performance.now() - begun };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cli[Symbol.asyncDispose]();
    this.#file[Symbol.dispose]();
  }
}
