/**
 * Rounds of one lost slot and one kill each, while writers go on.
 *
 * The kill comes at a random moment after walpost has found the loss, spread over a little more than a healing takes that
 * nobody kills, so that it meets each step of it: the job, the slot, the scan, the deliveries, the end. A kill that came too late
 * tells how long that is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { OrderedTraffic } from './ordered-traffic.ts';

export const WAYS = [
  'given up by max_slot_wal_keep_size while walpost is down',
  'dropped while walpost runs',
  'dropped and made again while walpost is down',
] as const;
export type Way = (typeof WAYS)[number];

/** What the kill met. */
export type Met = 'before the job' | 'job open, no slot' | 'job open, slot made' | 'after the healing';

export interface Round {
  readonly way: Way;
  readonly met: Met;
  /** Milliseconds from the loss being found to the kill. */
  readonly after: number;
  /** Events that had been delivered by then. */
  readonly sent: number;
}

export interface HealJob {
  readonly state: string;
  readonly from_lsn: string | null;
  readonly report: { from_lsn: string | null; to_lsn: string; events: number } | null;
}

/** Kills may come a little later than the healing was the last time. */
const BEYOND = 1.2;
/** Rows of a transaction that is open while the slot goes. */
const BULK = 900;
const CONFIG = {
  batching: { window: '10ms', max_events: 10 },
  leader: { takeover_after: '2s' },
  source: { checkpoint_interval: '100ms' },
};
const FOUND = /"code":"SLOT_(LOST|REPLACED)"/;
const HEALED = /"msg":"healed:/;
const STREAMING = /"msg":"streaming from/;

export class HealingRounds implements AsyncDisposable {
  readonly traffic: OrderedTraffic;
  private readonly database: TestDatabase;
  private readonly random: () => number;
  private current: RunningWalpost;
  /** Milliseconds of a healing from finding the loss on. */
  private length = 0;
  private jobsBefore = 0;

  private constructor(database: TestDatabase, traffic: OrderedTraffic, seed: number) {
    this.database = database;
    this.traffic = traffic;
    this.random = seededRandom(seed);
    this.current = this.launch();
  }

  /** Walpost streams, the writers are at work, and one healing was measured. */
  static async set(server: string, seed: number): Promise<HealingRounds> {
    const rounds = new HealingRounds(await createTestDatabase({ server }), await OrderedTraffic.start(), seed);
    await rounds.current.cli.prints(STREAMING);
    rounds.traffic.begin(connection(await rounds.database.client()));
    await rounds.lose('dropped while walpost runs');
    rounds.length = await healed(rounds.current);
    return rounds;
  }

  /** Loses the slot, kills the healer, starts the next and lets it heal. */
  async round(way: Way): Promise<Round> {
    this.jobsBefore = (await this.jobs()).length;
    await this.lose(way);
    const { cli } = this.current;
    const whole = healed(this.current).catch(() => undefined); // killed before
    await cli.prints(FOUND);
    const found = performance.now();
    const before = this.traffic.receiver.count;
    await delay(this.random() * this.length * BEYOND);
    cli.child.kill('SIGKILL');
    const after = performance.now() - found;
    await this.current[Symbol.asyncDispose]();
    const sent = this.traffic.receiver.count - before;
    this.length = (await whole) ?? this.length;
    const met = await this.met();
    this.current = this.launch();
    await this.current.cli.prints(STREAMING);
    return { way, met, after, sent };
  }

  /** All healings, the first first. */
  jobs(): Promise<HealJob[]> {
    return this.database.query<never>(
      `SELECT state, from_lsn::text, report FROM walpost.jobs WHERE kind = 'heal' ORDER BY jobs.id`,
    );
  }

  async deadLetters(): Promise<number> {
    return (await this.database.query('SELECT FROM walpost.dead_letters')).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.traffic.rest().catch(() => undefined);
    await this.current[Symbol.asyncDispose]();
    await this.traffic[Symbol.asyncDispose]();
    await this.database[Symbol.asyncDispose]();
  }

  private launch(): RunningWalpost {
    const sinks = { hook: this.traffic.receiver.sink() };
    return new RunningWalpost({ database: this.database, sinks, config: CONFIG });
  }

  /** `current` is afterwards a walpost that finds the loss: the one that runs, or the next one. */
  private async lose(way: Way): Promise<void> {
    if (way === 'dropped while walpost runs') this.current.cli.stderr = '';
    else await this.current[Symbol.asyncDispose](); // SIGKILL
    const open = await this.database.client();
    await open.query('BEGIN');
    await this.traffic.bulk(connection(open), BULK);
    if (way === 'given up by max_slot_wal_keep_size while walpost is down') await this.giveUpSlot();
    else await this.dropSlot();
    await open.query('COMMIT');
    await open.end();
    if (way === 'dropped and made again while walpost is down') {
      await this.database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [this.database.slotName]);
    }
    if (way !== 'dropped while walpost runs') this.current = this.launch();
  }

  private async dropSlot(): Promise<void> {
    const { database } = this;
    const end = 'SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1';
    const drop = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active`;
    await poll('the slot is dropped', async () => {
      await database.query(end, [database.slotName]);
      const rows = await database.query(drop, [database.slotName]).catch(() => []); // it was taken in between
      return rows.length > 0 || undefined;
    });
  }

  private async giveUpSlot(): Promise<void> {
    const { database } = this;
    await database.query("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    await database.query('SELECT pg_reload_conf()');
    await poll('the slot is lost', async () => {
      await database.query("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000))");
      await database.query('SELECT pg_switch_wal()');
      await database.query('CHECKPOINT');
      const of = 'SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1';
      const [slot] = await database.query<{ wal_status: string }>(of, [database.slotName]);
      return slot?.wal_status === 'lost' || undefined;
    });
    await database.query('ALTER SYSTEM RESET max_slot_wal_keep_size');
    await database.query('SELECT pg_reload_conf()');
  }

  private async met(): Promise<Met> {
    const jobs = await this.jobs();
    if (jobs.length === this.jobsBefore) return 'before the job';
    if (jobs.at(-1)?.state === 'done') return 'after the healing';
    const made = await this.database.query(
      `SELECT FROM pg_replication_slots WHERE slot_name = $1 AND wal_status <> 'lost' AND confirmed_flush_lsn IS NOT NULL`,
      [this.database.slotName],
    );
    return made.length > 0 ? 'job open, slot made' : 'job open, no slot';
  }
}

/** How long it took from finding the loss to the end of the healing. */
async function healed({ cli }: RunningWalpost): Promise<number> {
  await cli.prints(FOUND);
  const begun = performance.now();
  await cli.prints(HEALED);
  return performance.now() - begun;
}

function connection(client: Awaited<ReturnType<TestDatabase['client']>>): Pick<TestDatabase, 'query'> {
  return { query: async (text, values) => (await client.query(text, values)).rows };
}
