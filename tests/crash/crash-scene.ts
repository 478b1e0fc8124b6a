/** A busy database, one walpost after another, each of which may kill itself, and a receiver that checks what arrives. */
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { type Audit, audit } from '../../src/demo/audit.ts';
import { DemoRecord } from '../../src/demo/demo-record.ts';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { DEMO_SCHEMA, Writer } from '../../src/demo/writer.ts';
import { parseLsn } from '../../src/lsn.ts';
import { EventReceiver, type ReceivedBatch } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { compiled } from '../support/compiled.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import type { Failpoint } from './failpoints.ts';

const CHILD = compiled(join(import.meta.dirname, 'child.ts'));
const ORGANIZATIONS = Array.from({ length: 6 }, (_, index) => `00000000-0000-7000-8000-00000000000${index}`);
const RATE = 50;

const CONFIG = {
  batching: { window: '10ms', max_events: 20 },
  delivery: { quick_retries: 0, park_after: '100ms', breaker: { reset_after: '50ms' } },
  leader: { takeover_after: '1s' },
};

interface Position {
  readonly commit: bigint;
  readonly ordinal: number;
}

export class CrashScene implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly receiver: EventReceiver;
  /** What the receiver answers; 204 when it takes the events. */
  status = 204;
  /** Instead of an answer. */
  onArrival: (() => void) | undefined;
  /** First deliveries that do not come in the order of their positions, one line each. */
  readonly overtakings: string[] = [];
  readonly record = new DemoRecord(ORGANIZATIONS);
  private readonly writer: Writer;
  private readonly resting = new AbortController();
  private readonly seen = new Set<string>();
  private readonly positions = new Map<string, Position>();
  private last: RunningWalpost | undefined;
  private writing: Promise<void> | undefined;

  private constructor(database: TestDatabase, receiver: EventReceiver) {
    this.database = database;
    this.receiver = receiver;
    this.writer = new Writer({
      url: database.url,
      organizationIds: ORGANIZATIONS,
      rate: RATE,
      record: this.record,
      random: seededRandom(1),
      clock: systemClock,
    });
    this.takeAgain();
  }

  /** The slot is there and the writer at work when it resolves. */
  static async set(): Promise<CrashScene> {
    const database = await createTestDatabase();
    const scene = new CrashScene(database, await EventReceiver.start());
    await database.query(DEMO_SCHEMA);
    await using _first = await RunningWalpost.start(scene.options());
    await scene.writer.connect();
    scene.writing = scene.writer.run(scene.resting.signal);
    return scene;
  }

  /** Starts one that kills itself there, at once or so many milliseconds later; resolves when it has. */
  async crash(point: Failpoint, nth = 1, linger = 0): Promise<void> {
    await this.forgetStarts();
    await using child = this.launch(point, nth, linger);
    const { code, stderr } = await child.cli.result();
    if (code !== 'SIGKILL') throw new Error(`it was to die at "${point}", and ended with ${code}:\n${stderr}`);
  }

  /** Starts one, which streams when this resolves. */
  async start(): Promise<RunningWalpost> {
    await this.forgetStarts();
    return RunningWalpost.start(this.options());
  }

  launch(point: Failpoint, nth = 1, linger = 0): RunningWalpost {
    const env = { CRASH_AT: `${point}@${nth}`, CRASH_AFTER_MS: String(linger) };
    return new RunningWalpost({ ...this.options(), cli: { script: CHILD, env } });
  }

  /** The writer rests, a last walpost delivers what there is; what the writer knows is held against what has arrived. */
  async finish(): Promise<Audit> {
    this.resting.abort();
    await this.writing;
    await this.writer.close();
    await this.forgetStarts();
    this.last = new RunningWalpost(this.options()); // another may lead
    await poll(
      'all has arrived',
      async () => this.record.delivered >= this.record.committed || undefined,
      45_000,
    ).catch(
      () => undefined, // the audit says what is missing
    );
    return audit(this.record.written, this.record.arrivals);
  }

  /** The receiver is its old self. */
  takeAgain(): void {
    this.receiver.onBatch = (batch) => this.arrive(batch);
  }

  async parked(): Promise<number> {
    const [row] = await this.database.query<{ count: number }>('SELECT count(*)::int FROM walpost.parked');
    return row?.count ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resting.abort();
    await this.writing?.catch(() => undefined);
    await this.writer.end();
    await this.last?.[Symbol.asyncDispose]();
    await this.receiver[Symbol.asyncDispose]();
    await this.database[Symbol.asyncDispose]();
  }

  /** Many starts without progress have consequences of their own, which crash-loop.test.ts is about. */
  private async forgetStarts(): Promise<void> {
    await this.database.query(
      `UPDATE walpost.cursor SET starts = 0, starts_lsn = NULL, in_flight = NULL, blamed = '[]'`,
    );
  }

  private options() {
    return {
      database: this.database,
      sinks: { hook: this.receiver.sink() },
      config: { ...CONFIG, routes: [{ match: { topic: 'orders' }, to: ['hook'] }] as unknown as object },
    };
  }

  private async arrive({ organization_id, events }: ReceivedBatch): Promise<number> {
    if (this.status >= 300) return this.status;
    for (const { event_id, lsn, ordinal } of events) {
      if (this.seen.has(event_id)) continue;
      this.seen.add(event_id);
      const position = { commit: parseLsn(lsn ?? '') ?? 0n, ordinal: ordinal ?? 0 };
      const before = this.positions.get(organization_id);
      if (before && !isBefore(before, position)) this.overtakings.push(`${organization_id} ${lsn} ${ordinal}`);
      this.positions.set(organization_id, position);
    }
    this.record.received(
      events.map(({ event_id, organization_id, payload }) => ({
        eventId: event_id,
        organizationId: organization_id,
        number: (payload as { number: number }).number,
      })),
      [],
      0,
    );
    if (!this.onArrival) return this.status;
    this.onArrival();
    return new Promise(() => undefined);
  }
}

function isBefore(a: Position, b: Position): boolean {
  return a.commit < b.commit || (a.commit === b.commit && a.ordinal < b.ordinal);
}

/** What a crash must not change: each committed event arrived, in order, and none that was rolled back. */
export const NOTHING_LOST = { missing: 0, outOfOrder: 0, rolledBackDelivered: 0, unexpected: 0 };
