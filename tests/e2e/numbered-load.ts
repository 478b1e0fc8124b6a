/**
 * Writers whose commit order is known: each event carries the next number of its organization, from a counter row that
 * stays locked until the transaction has committed.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestDatabase } from '../support/database.ts';
import type { ReceivedBatch } from './event-receiver.ts';

const PGBENCH = '/usr/lib/postgresql/15/bin/pgbench';
export const ORGANIZATIONS = 200;

/** Organizations are taken in the order of their ids, so that no two transactions wait for each other in a circle. */
const SCHEMA = `
  CREATE TABLE public.counters (id int PRIMARY KEY, organization_id uuid NOT NULL, n bigint NOT NULL DEFAULT 0);
  INSERT INTO public.counters SELECT i, gen_random_uuid() FROM generate_series(0, ${ORGANIZATIONS - 1}) AS i;
  CREATE FUNCTION public.write_events(start int, organizations int, each int) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    counter public.counters;
    choice int;
  BEGIN
    FOR choice IN SELECT (start + i) % ${ORGANIZATIONS} FROM generate_series(1, organizations) AS i ORDER BY 1 LOOP
      UPDATE public.counters SET n = n + each WHERE id = choice RETURNING * INTO counter;
      INSERT INTO walpost.outbox (organization_id, event_type, topic, payload)
      SELECT counter.organization_id, 'order.placed', 'orders', jsonb_build_object('n', counter.n - each + i)
        FROM generate_series(1, each) AS i;
    END LOOP;
  END $$`;

export interface Share {
  /** Rows of one transaction, over so many organizations. */
  readonly organizations: number;
  readonly each: number;
  readonly clients: number;
  /** Transactions of each client. */
  readonly transactions: number;
}

/** Eight clients with transactions of 1, 10 and 500 rows; `scale` 1 makes 100,000 events. */
export function mixedLoad(scale: number): Share[] {
  const times = (count: number): number => Math.max(1, Math.round(count * scale));
  return [
    { organizations: 1, each: 1, clients: 4, transactions: times(5_000) },
    { organizations: 2, each: 5, clients: 2, transactions: times(1_500) },
    { organizations: 20, each: 25, clients: 2, transactions: times(50) },
  ];
}

export async function prepareLoad(database: TestDatabase): Promise<void> {
  await database.query(SCHEMA);
}

/** Writes all of it, and returns how many events were committed for each organization. */
export async function writeLoad(database: TestDatabase, shares: readonly Share[]): Promise<Map<string, number>> {
  const write = existsSync(PGBENCH) ? writeWithPgbench : writeWithDriver;
  await Promise.all(shares.map((share) => write(database, share)));
  const rows = await database.query<{ id: string; n: number }>(
    'SELECT organization_id::text AS id, n::int AS n FROM public.counters',
  );
  return new Map(rows.map(({ id, n }) => [id, n]));
}

async function writeWithPgbench(database: TestDatabase, share: Share): Promise<void> {
  const { organizations, each, clients, transactions } = share;
  const directory = await mkdtemp(join(tmpdir(), 'walpost-pgbench-'));
  const script = join(directory, 'script.sql');
  const url = new URL(database.url);
  const env = { ...process.env, PGPASSWORD: decodeURIComponent(url.password) };
  const server = ['-h', url.hostname, '-p', url.port, '-U', url.username];
  const amount = ['-c', String(clients), '-j', '1', '-t', String(transactions)];
  try {
    await writeFile(
      script,
      `\\set start random(0, ${ORGANIZATIONS - 1})\nSELECT public.write_events(:start, ${organizations}, ${each});\n`,
    );
    await promisify(execFile)(PGBENCH, ['-n', ...server, ...amount, '-f', script, database.name], { env });
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function writeWithDriver(database: TestDatabase, share: Share): Promise<void> {
  const { organizations, each, clients, transactions } = share;
  const client = async (): Promise<void> => {
    const connection = await database.client();
    for (let n = 0; n < transactions; n++) {
      const start = Math.floor(Math.random() * ORGANIZATIONS);
      await connection.query('SELECT public.write_events($1, $2, $3)', [start, organizations, each]);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
}

/** Takes what arrives, and tells what is missing, repeated or out of the order of commits. */
export class OrderCheck {
  readonly #numbers = new Map<string, number[]>();

  readonly take = ({ events }: Pick<ReceivedBatch, 'events'>): void => {
    for (const { organization_id: id, payload } of events) {
      const { n } = payload as { n: number };
      const numbers = this.#numbers.get(id);
      if (numbers) numbers.push(n);
      else this.#numbers.set(id, [n]);
    }
  };

  /** One line for each organization whose events are not 1, 2, 3 … up to what was committed. */
  faults(committed: ReadonlyMap<string, number>): string[] {
    return [...committed].flatMap(([id, count]) => {
      const numbers = this.#numbers.get(id) ?? [];
      const wrong = numbers.findIndex((n, index) => n !== index + 1);
      if (wrong >= 0) return [`${id}: ${numbers[wrong]} arrived at place ${wrong + 1}`];
      return numbers.length === count ? [] : [`${id}: ${numbers.length} of ${count} arrived`];
    });
  }
}
