/** walpost as a process, its commands as a user types them, and what of it arrives, live and again. */
import { formatLsn, parseLsn } from '../../src/lsn.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';
import { EventReceiver, type ReceivedBatch, type ReceivedEvent } from './event-receiver.ts';
import { configOf, RunningWalpost, type RunOptions } from './running-walpost.ts';

type Envelope = ReceivedEvent & { readonly replay: string | null; readonly committed_at: string | null };

export interface Live {
  /** Commit LSN. */
  readonly commit: bigint;
  /** Commit time in milliseconds since 1970. */
  readonly at: number;
}

/** As `walpost replay --json` tells it. */
export interface Told {
  readonly from: { readonly lsn: string; readonly taken_at: string };
  readonly events: number;
  readonly job?: { readonly id: string; readonly state: string; readonly settled: number };
}

export interface Checkpoint {
  readonly lsn: bigint;
  /** Whether a transaction was open when it was taken, or began later. */
  readonly isAhead: (xid: bigint) => boolean;
}

export interface JobProgress {
  readonly state: string;
  readonly settled: number;
}

export class ReplayScene implements AsyncDisposable {
  readonly database: TestDatabase;
  /** What was delivered from the stream, by id. */
  readonly live = new Map<string, Live>();
  /** Ids that came again, in the order of their arrival, since it was last emptied. */
  readonly again: string[] = [];
  /** Events that say something else than their position does. */
  readonly faults: string[] = [];
  onArrival: () => void = () => undefined;
  private readonly server: AsyncDisposable;
  private readonly receiver: EventReceiver;
  private readonly file: ConfigFile;
  private readonly options: RunOptions;

  private constructor(
    {
      server,
      database,
      receiver,
    }: Pick<ReplayScene, 'database'> & { server: AsyncDisposable; receiver: EventReceiver },
    source: object,
  ) {
    this.server = server;
    this.database = database;
    this.receiver = receiver;
    this.options = { database, sinks: { hook: receiver.sink() }, config: { source } };
    this.file = new ConfigFile(JSON.stringify(configOf(this.options)));
    receiver.onBatch = (batch) => this.take(batch);
  }

  /** On a server of its own: a transaction that stays open holds up every slot that others make. */
  static async set(source: object): Promise<ReplayScene> {
    const server = await startServer();
    const database = await createTestDatabase({ server: server.url() });
    return new ReplayScene({ server, database, receiver: await EventReceiver.start() }, source);
  }

  /** A process, which streams when this resolves. */
  start(): Promise<RunningWalpost> {
    return RunningWalpost.start(this.options);
  }

  /** Resolves when that many events have arrived from the stream. */
  async delivered(count: number, timeout: number): Promise<void> {
    await this.arrived(() => this.live.size >= count, timeout).catch(() => {
      throw new Error(`${this.live.size} of ${count} events arrived in ${timeout} ms`);
    });
  }

  /** Resolves when what has arrived is enough. */
  async arrived(isEnough: () => boolean, timeout: number): Promise<void> {
    const deadline = performance.now() + timeout;
    while (!isEnough()) await this.receiver.received(this.receiver.count + 1, deadline - performance.now());
  }

  /** A command that goes on until it ends or is killed. */
  command(...argv: string[]): Cli {
    return new Cli([...argv, '--config', this.file.path]);
  }

  /** One command that answers with JSON. */
  async ask<T>(...argv: string[]): Promise<T> {
    const { code, stdout, stderr } = await walpost([...argv, '--json', '--config', this.file.path]);
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}:\n${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** The positions of the settled checkpoints, in order. */
  async checkpoints(): Promise<bigint[]> {
    const rows = await this.database.query<{ lsn: string }>(
      'SELECT lsn::text FROM walpost.checkpoints AS c WHERE settled_at IS NOT NULL ORDER BY c.lsn',
    );
    return rows.map(({ lsn }) => parseLsn(lsn) ?? 0n);
  }

  /** The last settled checkpoint at or below the position. */
  async checkpointBefore(position: bigint): Promise<Checkpoint> {
    const lsn = (await this.checkpoints()).findLast((each) => each <= position) ?? 0n;
    const [row] = await this.database.query<{ snapshot: string }>(
      'SELECT snapshot::text FROM walpost.checkpoints WHERE lsn = $1::pg_lsn ORDER BY id DESC LIMIT 1',
      [formatLsn(lsn)],
    );
    const [, xmax = '', open = ''] = row?.snapshot.split(':') ?? [];
    const xids = new Set(open.split(','));
    return { lsn, isAhead: (xid) => xid >= BigInt(xmax) || xids.has(String(xid)) };
  }

  /** Resolves when every checkpoint that was taken is settled, and so which one comes before a position stays as it is. */
  async settled(): Promise<void> {
    await poll('all is settled', async () => {
      const open = await this.database.query('SELECT FROM walpost.checkpoints WHERE settled_at IS NULL LIMIT 1');
      return open.length === 0 || undefined;
    });
  }

  /** The transaction of each committed event. */
  async transactions(): Promise<Map<string, bigint>> {
    const rows = await this.database.query<{ id: string; xid: string }>(
      'SELECT event_id::text AS id, created_xid::text AS xid FROM walpost.outbox',
    );
    return new Map(rows.map(({ id, xid }) => [id, BigInt(xid)]));
  }

  /** The newest job. */
  async job(): Promise<JobProgress> {
    const [row] = await this.database.query<JobProgress & object>(
      'SELECT state, settled::int AS settled FROM walpost.jobs ORDER BY id DESC LIMIT 1',
    );
    if (!row) throw new Error('there is no job');
    return row;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.file[Symbol.dispose]();
    await this.receiver[Symbol.asyncDispose]();
    await this.database[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }

  private take({ events }: ReceivedBatch): void {
    for (const { event_id, lsn, ordinal, replay, committed_at } of events as readonly Envelope[]) {
      const commit = parseLsn(lsn ?? '');
      const isLive = replay === null && commit !== undefined && ordinal !== null && committed_at !== null;
      if (isLive) this.live.set(event_id, { commit, at: Date.parse(committed_at) });
      else if (replay?.startsWith('replay-') && lsn === null && ordinal === null && committed_at === null)
        this.again.push(event_id);
      else this.faults.push(`${event_id}: replay ${replay}, lsn ${lsn}, ordinal ${ordinal}`);
    }
    this.onArrival();
  }
}
