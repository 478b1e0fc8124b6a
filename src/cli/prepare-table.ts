import type pg from 'pg';
import { databaseError } from '../postgres/database-error.ts';
import { connectSession, sessionClient } from '../postgres/session.ts';
import { planPreparation, type PreparationStep } from '../postgres/source/source-preparation.ts';

export interface PrepareOptions {
  readonly url: string;
  readonly publication: string;
  readonly table: string;
  readonly endpoints: boolean;
  readonly rolePrefix?: string | undefined;
  readonly apply?: boolean | undefined;
  readonly say: (line: string) => void;
}

/**
 * Prints the plan, and applies it when it is told to: all that can be one transaction in one, so that nothing stays when a
 * statement is refused, then the index. An index of a table in use waits as long as older transactions take, and blocks nobody.
 */
export async function prepareTable(options: PrepareOptions): Promise<readonly PreparationStep[]> {
  const { url, publication, table, endpoints, rolePrefix, apply, say } = options;
  const client = sessionClient({ url, applicationName: 'walpost migrate' }, { connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  try {
    await connectSession(client);
    const steps = await planPreparation({ db: client, publication, table, endpoints, rolePrefix });
    if (apply) await applyTogether(client, steps);
    for (const { sql, note, alone } of steps) {
      say(`-- ${note}\n${sql};`);
      if (apply && alone) await applyStep(client, sql);
    }
    return steps;
  } catch (error) {
    throw databaseError(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function applyTogether(client: pg.Client, steps: readonly PreparationStep[]): Promise<void> {
  await client.query(`BEGIN; SET LOCAL lock_timeout = '5s'`);
  for (const { sql, alone } of steps) if (!alone) await applyStep(client, sql);
  await client.query('COMMIT');
}

async function applyStep(client: pg.Client, sql: string): Promise<void> {
  await client.query(sql).catch((error: unknown) => {
    throw databaseError(error, `applying ${sql}`);
  });
}
