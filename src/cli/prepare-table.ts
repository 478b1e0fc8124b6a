import type pg from 'pg';
import { inCommandSession } from '../postgres/command-session.ts';
import { databaseError } from '../postgres/database-error.ts';
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
  return inCommandSession({ url, applicationName: 'walpost migrate' }, async (client) => {
    const steps = await planPreparation({ db: client, publication, table, endpoints, rolePrefix });
    if (apply) await applyTogether(client, steps);
    for (const { sql, note, alone } of steps) {
      say(`-- ${note}\n${sql};`);
      if (apply && alone) await applyStep(client, sql);
    }
    return steps;
  });
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
