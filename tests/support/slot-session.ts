import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../src/clock.ts';
import type { Clock } from '../../src/clock.ts';
import type { Lsn } from '../../src/lsn.ts';
import type { FrameHandler } from '../../src/pipeline.ts';
import { createSlot } from '../../src/slot/slot-creation.ts';
import { SlotStream } from '../../src/slot/slot-stream.ts';
import type { TestDatabase } from './database.ts';

/** What has not happened by then will not; short enough to be told from a test that stands still, on a busy machine too. */
const LATE_MS = 25_000;

/** One transaction as it was streamed: the texts that its inserts carried, and its end LSN. */
export interface StreamedTransaction {
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly notes: readonly string[];
}

/** A handler that remembers, and wakes whoever waits for something to arrive. Reads just enough of pgoutput for that. */
export class StreamRecorder implements FrameHandler {
  readonly transactions: StreamedTransaction[] = [];
  readonly rows: string[] = [];
  keepalives = 0;
  messages = 0;
  bytes = 0;
  private notes: string[] = [];
  private readonly waiting = new Set<() => void>();

  data(payload: Buffer): void {
    this.messages++;
    this.bytes += payload.length;
    const kind = String.fromCharCode(payload[0] ?? 0);
    if (kind === 'I') this.insert(payload);
    if (kind === 'C') {
      const [commitLsn, endLsn] = [payload.readBigUInt64BE(2), payload.readBigUInt64BE(10)];
      this.transactions.push({ commitLsn, endLsn, notes: this.notes });
      this.notes = [];
    }
    this.wake();
  }

  keepalive(): void {
    this.keepalives++;
    this.wake();
  }

  get allNotes(): string[] {
    return this.transactions.flatMap((transaction) => transaction.notes);
  }

  /** Waits for the condition, looking at each arrival. */
  async until(what: string, condition: () => boolean, timeout = LATE_MS): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let look: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        look = () => condition() && resolve();
        this.waiting.add(look);
        timer = setTimeout(() => reject(new Error(`did not happen in ${timeout} ms: ${what}`)), timeout);
        look();
      });
    } finally {
      clearTimeout(timer);
      if (look) this.waiting.delete(look);
    }
  }

  /** Tuple: 'N', column count, then 't', length and text of each column. */
  private insert(payload: Buffer): void {
    const columns: string[] = [];
    const count = payload.readUInt16BE(6);
    for (let place = 8, column = 0; column < count; column++) {
      if (payload[place] !== 0x74) {
        place += 1;
        columns.push('');
        continue;
      }
      const length = payload.readUInt32BE(place + 1);
      columns.push(payload.toString('utf8', place + 5, place + 5 + length));
      place += 5 + length;
    }
    this.rows.push(columns.join('|'));
    this.notes.push(columns[1] ?? '');
  }

  private wake(): void {
    for (const look of this.waiting) look();
  }
}

export interface SlotSession extends AsyncDisposable {
  readonly stream: SlotStream;
  readonly recorder: StreamRecorder;
  /** Settles as `run` does: undefined, or the error. */
  readonly ended: Promise<unknown>;
  abort(): void;
}

export interface SlotSessionOptions {
  readonly url?: string;
  readonly handler?: FrameHandler;
  readonly clock?: Clock;
  readonly walSenderTimeout?: number;
}

/** Table `note (id, note)`, its publication and its slot. */
export async function createNotes(db: TestDatabase): Promise<void> {
  await db.query('CREATE TABLE note (id serial PRIMARY KEY, note text NOT NULL)');
  await db.query("CREATE PUBLICATION notes FOR TABLE note WITH (publish = 'insert')");
  await createNotesSlot(db);
}

export async function createNotesSlot(db: TestDatabase): Promise<void> {
  await using _slot = await createSlot({
    url: db.url,
    db: await db.client(),
    slot: db.slotName,
    plugin: 'pgoutput',
    failover: false,
  });
}

export async function openSession(db: TestDatabase, options: SlotSessionOptions = {}): Promise<SlotSession> {
  const recorder = new StreamRecorder();
  const abort = new AbortController();
  const stream = new SlotStream({
    url: options.url ?? db.url,
    slot: db.slotName,
    plugin: 'pgoutput',
    pluginOptions: { proto_version: '1', publication_names: '"notes"' },
    handler: options.handler ?? recorder,
    clock: options.clock ?? systemClock,
    walSenderTimeout: options.walSenderTimeout ?? 60_000,
  });
  const ended = stream.run(abort.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  await stream.started;
  return {
    stream,
    recorder,
    ended,
    abort: () => abort.abort(),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await ended;
    },
  };
}

/** Looks again and again until the answer is there; only for what no signal announces. */
export async function poll<T>(what: string, look: () => Promise<T | undefined>, timeout = LATE_MS): Promise<T> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const answer = await look();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`did not happen in ${timeout} ms: ${what}`);
    await delay(10);
  }
}

/** Looks in a row that find the line blocked and nothing moved. */
const STILL_LOOKS = 5;

/** Waits until the walsender of the slot cannot write, since nobody reads, and what has arrived stays the same. */
export async function untilBlocked(db: TestDatabase, arrived: () => number | Promise<number>): Promise<void> {
  let last = NaN;
  let still = 0;
  await poll('the line is blocked', async () => {
    const blocked = await db.query(
      `SELECT FROM pg_stat_activity a JOIN pg_replication_slots s ON s.active_pid = a.pid
        WHERE s.slot_name = $1 AND a.wait_event = 'WalSenderWriteData'`,
      [db.slotName],
    );
    const now = await arrived();
    still = blocked.length > 0 && now === last ? still + 1 : 0;
    last = now;
    return still >= STILL_LOOKS || undefined;
  });
}

/** Waits until nobody streams from the slot. */
export async function untilFree(db: TestDatabase): Promise<void> {
  await poll('the slot is free', async () => {
    const rows = await db.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND NOT active', [
      db.slotName,
    ]);
    return rows[0];
  });
}
