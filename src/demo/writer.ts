import pg from 'pg';
import { type Clock, pause } from '../clock.ts';
import type { WrittenEvent } from './audit.ts';
import type { DemoRecord } from './demo-record.ts';
import { type EventMix, eventTypeOf, type OrderStatus, PLACED_ONLY } from './event-mix.ts';
import { planTransaction, type Random, type PlanStep, type TransactionPlan } from './transaction-plan.ts';

export interface WriterOptions {
  readonly url: string;
  /** Written by this writer alone, so that its numbers are their commit order. */
  readonly organizationIds: readonly string[];
  /** Committed events a second. */
  readonly rate: number;
  /** Orders are only placed unless it says otherwise. */
  readonly mix?: EventMix;
  readonly record: DemoRecord;
  readonly random: Random;
  readonly clock: Clock;
}

export const DEMO_SCHEMA = `
  CREATE SCHEMA demo;
  CREATE TABLE demo.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL,
    number int NOT NULL,
    status text NOT NULL
  )`;

/** The application's own change and its events, as any application would write them: in one transaction. */
const PLACE_ORDERS = `
  WITH placed AS (
    INSERT INTO demo.orders (organization_id, number, status)
    SELECT organization_id, number, status
    FROM unnest($1::uuid[], $2::int[], $3::text[]) AS o (organization_id, number, status)
    RETURNING organization_id, number, status
  )
  SELECT organization_id, number, status, walpost.publish(
    organization_id => organization_id,
    event_type => 'order.' || status,
    payload => jsonb_build_object('number', number),
    topic => 'orders',
    entity_type => 'order',
    entity_id => number::text
  ) AS event_id
  FROM placed`;

interface Row {
  readonly organization_id: string;
  readonly number: number;
  readonly status: OrderStatus;
  readonly event_id: string;
}

/** After a pause that lasted too long, a writer catches up by at most this much. */
const MOST_BEHIND_MS = 1000;

/** One connection of the demo's application, which commits transactions at a steady rate. */
export class Writer {
  private readonly options: WriterOptions;
  private readonly client: pg.Client;
  private readonly mix: EventMix;
  private readonly numbers: number[];
  private failure: Error | undefined;

  constructor(options: WriterOptions) {
    this.options = options;
    this.mix = options.mix ?? PLACED_ONLY;
    this.numbers = options.organizationIds.map(() => 0);
    this.client = new pg.Client({ connectionString: options.url, application_name: 'walpost demo' });
    this.client.on('error', (error) => (this.failure ??= error));
  }

  /** Writes until the signal aborts; the transaction that is open then is finished first. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, rate, random, organizationIds } = this.options;
    let due = clock.now();
    while (!signal.aborted) {
      const committed = await this.transact(planTransaction(random, organizationIds.length));
      due = Math.max(due + (committed * 1000) / rate, clock.now() - MOST_BEHIND_MS);
      await pause(clock, Math.max(0, due - clock.now()), signal);
    }
  }

  /** One last event of each type for each organization: when it has arrived, all that came before it has been in its place. */
  async close(): Promise<void> {
    const everyOrganization = this.numbers.map((_, index) => index);
    const steps = this.mix.statuses.map((status): PlanStep => ({
      kind: 'publish',
      organizations: everyOrganization,
      status,
    }));
    await this.transact({ steps, end: 'commit' });
  }

  async connect(): Promise<void> {
    await this.client.connect();
  }

  async end(): Promise<void> {
    await this.client.end();
  }

  /** Carries out the plan, and tells the record once the outcome is certain. Returns how many events it committed. */
  private async transact(plan: TransactionPlan): Promise<number> {
    if (this.failure) throw this.failure;
    const kept: Row[] = [];
    const lost: Row[] = [];
    let sinceSavepoint = 0;
    await this.client.query('BEGIN');
    for (const step of plan.steps) {
      if (step.kind === 'publish') {
        kept.push(...(await this.publish(step)));
      } else if (step.kind === 'savepoint') {
        sinceSavepoint = kept.length;
        await this.client.query('SAVEPOINT step');
      } else {
        lost.push(...kept.splice(sinceSavepoint));
        await this.client.query('ROLLBACK TO SAVEPOINT step');
      }
    }
    const commits = plan.end === 'commit';
    await this.client.query(commits ? 'COMMIT' : 'ROLLBACK');
    const events = (rows: readonly Row[], committed: boolean): WrittenEvent[] =>
      rows.map((row) => ({
        eventId: row.event_id,
        eventType: eventTypeOf(row.status),
        organizationId: row.organization_id,
        number: row.number,
        committed,
      }));
    this.options.record.wrote([...events(kept, commits), ...events(lost, false)]);
    return commits ? kept.length : 0;
  }

  private async publish(step: Extract<PlanStep, { kind: 'publish' }>): Promise<Row[]> {
    const organizationIds = step.organizations.map((index) => this.options.organizationIds[index]);
    const numbers = step.organizations.map((index) => {
      const next = (this.numbers[index] ?? 0) + 1;
      this.numbers[index] = next;
      return next;
    });
    const statuses = step.organizations.map(() => step.status ?? this.mix.draw(this.options.random));
    const { rows } = await this.client.query<Row>({
      name: 'place orders',
      text: PLACE_ORDERS,
      values: [organizationIds, numbers, statuses],
    });
    return rows;
  }
}
