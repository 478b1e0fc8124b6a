/** Writers whose transactions differ in length and overlap, and one that is open from the first event to after the last. */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { type Random, seededRandom } from '../../src/demo/transaction-plan.ts';
import type { TestDatabase } from '../support/database.ts';

const WRITERS = 6;
const ORGANIZATIONS = 20;
const WRITE = `
  INSERT INTO walpost.outbox (organization_id, event_type, payload)
  SELECT md5(((n + $1::int) % ${ORGANIZATIONS})::text)::uuid, 'mixed', to_jsonb(n) FROM generate_series(1, $2::int) AS n`;

/** Statements of one transaction, by the rows that each writes. */
function drawTransaction(random: Random): number[] {
  const below = (limit: number): number => Math.floor(random() * limit);
  const kind = random();
  if (kind < 0.5) return [1 + below(3)];
  if (kind < 0.85) return Array.from({ length: 1 + below(4) }, () => 1 + below(20));
  return Array.from({ length: 2 + below(6) }, () => 20 + below(60));
}

async function writeTransaction(client: pg.Client, random: Random, lasting: number): Promise<number> {
  const statements = drawTransaction(random);
  const isGivenUp = random() < 0.08;
  await client.query('BEGIN');
  for (const rows of statements) {
    await client.query(WRITE, [Math.floor(random() * ORGANIZATIONS), rows]);
    await delay(2 * lasting * random()); // others commit meanwhile, and checkpoints are taken
  }
  await client.query(isGivenUp ? 'ROLLBACK' : 'COMMIT');
  return isGivenUp ? 0 : statements.reduce((sum, rows) => sum + rows, 0);
}

export interface Load {
  /** At least so many are committed. */
  readonly events: number;
  readonly seed: number;
  /** Milliseconds from one statement of a transaction to the next, on average. */
  readonly lasting: number;
}

/** Resolves with the number of events that were committed. */
export async function writeMixed(database: TestDatabase, { events, seed, lasting }: Load): Promise<number> {
  let committed = 0;
  const write = async (writer: number): Promise<void> => {
    const client = await database.client();
    const random = seededRandom(seed + writer);
    while (committed < events) {
      const written = await writeTransaction(client, random, lasting);
      committed += written;
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  return committed;
}

/** The transaction that stays open; it writes when it is told to. */
export class OpenTransaction {
  readonly ids: string[] = [];
  private readonly client: pg.Client;

  private constructor(client: pg.Client) {
    this.client = client;
  }

  static async begin(database: TestDatabase): Promise<OpenTransaction> {
    const open = new OpenTransaction(await database.client());
    await open.client.query('BEGIN');
    await open.write(5);
    return open;
  }

  async write(rows: number): Promise<void> {
    const { rows: written } = await this.client.query<{ id: string }>(`${WRITE} RETURNING event_id::text AS id`, [
      0,
      rows,
    ]);
    this.ids.push(...written.map(({ id }) => id));
  }

  async commit(): Promise<void> {
    await this.client.query('COMMIT');
  }
}
