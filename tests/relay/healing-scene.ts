import { randomUUID } from 'node:crypto';
import { createTestDatabase, type TestDatabase, type TestDatabaseOptions } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess, type RelayInProcessOptions } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

export interface HealJob {
  readonly state: string;
  readonly reason: string;
  readonly from_lsn: string | null;
  readonly settled: number;
  readonly report: { from_lsn: string | null; to_lsn: string; events: number } | null;
}

/** A database, a receiver, and relays that come and go. */
export class HealingScene implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly log: EventLog;
  readonly organizations = [randomUUID(), randomUUID(), randomUUID()];
  private next = 0;
  private db: Pick<TestDatabase, 'query'>;

  private constructor(database: TestDatabase, log: EventLog) {
    this.database = database;
    this.log = log;
    this.db = database;
  }

  static async set(options: TestDatabaseOptions = {}): Promise<HealingScene> {
    return new HealingScene(await createTestDatabase(options), await EventLog.start());
  }

  /** The server was restarted: what was connected is not any more. */
  async reconnect(): Promise<void> {
    const client = await this.database.client();
    this.db = { query: async (text, values) => (await client.query(text, values)).rows };
  }

  /** On the server as it is since `reconnect`. */
  query(text: string): Promise<unknown[]> {
    return this.db.query(text);
  }

  options(more: Partial<RelayInProcessOptions> = {}): RelayInProcessOptions {
    return { database: this.database, sinks: this.log.sinks, ...more };
  }

  /** As `start`, without waiting until it streams. */
  make(more: Partial<RelayInProcessOptions> = {}): RelayInProcess {
    return new RelayInProcess(this.options(more));
  }

  start(more: Partial<RelayInProcessOptions> = {}): Promise<RelayInProcess> {
    return RelayInProcess.start(this.options(more));
  }

  /** Commits so many events, each in a transaction of its own; with their ids. */
  async publish(count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let left = count; left > 0; left--) {
      const organization = this.organizations[this.next++ % this.organizations.length];
      const [row] = await this.db.query<{ id: string }>(`SELECT walpost.publish($1, 'thing.made', $2)::text AS id`, [
        organization,
        { number: this.next },
      ]);
      ids.push(row?.id ?? '');
    }
    return ids;
  }

  /** Resolves when everything that is in the outbox now is proven; publishes to move things on. */
  async proven(relayEvents: string[]): Promise<void> {
    const [last] = await this.db.query<{ xid: string }>('SELECT max(created_xid)::text AS xid FROM walpost.outbox');
    await poll('all is proven', async () => {
      const [row] = await this.db.query<{ proven: boolean }>('SELECT walpost.is_proven($1::xid8) AS proven', [
        last?.xid,
      ]);
      if (row?.proven) return true;
      relayEvents.push(...(await this.publish(1)));
      return undefined;
    });
  }

  async slotExists(): Promise<boolean> {
    return (
      (await this.db.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [this.database.slotName])).length >
      0
    );
  }

  /** Drops the slot as soon as nobody streams from it. */
  async dropSlot(): Promise<void> {
    await poll('the slot is free and dropped', async () => {
      const rows = await this.db.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
        [this.database.slotName],
      );
      return rows.length > 0 || undefined;
    });
  }

  async createSlot(): Promise<void> {
    await this.db.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [this.database.slotName]);
  }

  async jobs(): Promise<HealJob[]> {
    return this.db.query<never>(
      "SELECT state, reason, from_lsn::text, settled::integer, report FROM walpost.jobs WHERE kind = 'heal' ORDER BY id",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.database[Symbol.asyncDispose]();
    } finally {
      await this.log[Symbol.asyncDispose]();
    }
  }
}
