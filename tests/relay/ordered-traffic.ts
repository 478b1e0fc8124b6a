/** Events whose order is known, and a receiver that keeps the order in which they come for the first time. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { EventReceiver, type ReceivedBatch } from '../e2e/event-receiver.ts';
import type { TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';

type Connection = Pick<TestDatabase, 'query'>;

/** One insert of several events, spread over the organizations; they stand in the order of `seq`. */
const INSERT = `
  INSERT INTO walpost.outbox (organization_id, event_type, payload)
  SELECT ($1::uuid[])[1 + n % array_length($1::uuid[], 1)], 'thing.made', jsonb_build_object('number', n)
    FROM generate_series(1, $2::integer) AS n
  RETURNING event_id::text AS id, organization_id::text AS organization`;

const PAUSE_MS = 10;

export class OrderedTraffic implements AsyncDisposable {
  readonly receiver: EventReceiver;
  /** For each organization its events in the order of their commits. */
  readonly written = new Map<string, string[]>();
  /** For each organization its events as they came for the first time. */
  readonly arrived = new Map<string, string[]>();
  /** Deliveries of what had come before. */
  repeated = 0;
  private readonly seen = new Set<string>();
  private readonly bulkOrganizations = [randomUUID(), randomUUID(), randomUUID()];
  private readonly singleOrganizations = [randomUUID(), randomUUID()];
  private readonly resting = new AbortController();
  private writing: Promise<void> | undefined;

  private constructor(receiver: EventReceiver) {
    this.receiver = receiver;
    receiver.onBatch = (batch) => this.arrive(batch);
  }

  static async start(): Promise<OrderedTraffic> {
    return new OrderedTraffic(await EventReceiver.start());
  }

  get count(): number {
    return [...this.written.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Small transactions of two organizations, one after the other, until `rest`. */
  begin(db: Connection): void {
    this.writing = this.write(db);
    this.writing.catch(() => undefined); // `rest` tells
  }

  /** One statement of three other organizations; by one connection at a time, or the order is not known. */
  bulk(db: Connection, count: number): Promise<void> {
    return this.insert(db, this.bulkOrganizations, count);
  }

  async rest(): Promise<void> {
    this.resting.abort();
    await this.writing;
  }

  /** Resolves when everything has come, or nothing more will: the comparison tells. */
  async settles(timeout = 20_000): Promise<void> {
    await poll('all has arrived', async () => this.seen.size >= this.count || undefined, timeout).catch(
      () => undefined,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rest().catch(() => undefined);
    await this.receiver[Symbol.asyncDispose]();
  }

  private async write(db: Connection): Promise<void> {
    while (!this.resting.signal.aborted) {
      await this.insert(db, this.singleOrganizations, this.singleOrganizations.length);
      await delay(PAUSE_MS);
    }
  }

  private async insert(db: Connection, organizations: readonly string[], count: number): Promise<void> {
    const rows = await db.query<{ id: string; organization: string }>(INSERT, [organizations, count]);
    for (const { id, organization } of rows) listOf(this.written, organization).push(id);
  }

  private arrive({ organization_id: organization, events }: ReceivedBatch): void {
    for (const { event_id: id } of events) {
      if (this.seen.has(id)) this.repeated += 1;
      else listOf(this.arrived, organization).push(id);
      this.seen.add(id);
    }
  }
}

function listOf(map: Map<string, string[]>, key: string): string[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}
