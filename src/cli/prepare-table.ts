import pg from 'pg';
import { databaseError } from '../postgres/database-error.ts';
import { planPreparation, type PreparationStep } from '../slot/source-preparation.ts';

export interface PrepareOptions {
  readonly url: string;
  readonly publication: string;
  readonly table: string;
  readonly apply?: boolean | undefined;
  readonly say: (line: string) => void;
}

/** Prints the plan; applies it, statement by statement, when it is told to. What was applied stays when a later one fails. */
export async function prepareTable(options: PrepareOptions): Promise<readonly PreparationStep[]> {
  const { url, publication, table, apply, say } = options;
  const client = new pg.Client({ connectionString: url, application_name: 'walpost migrate' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const steps = await planPreparation({ db: client, publication, table });
    if (apply) await client.query("SET lock_timeout = '5s'");
    for (const { sql, note } of steps) {
      say(`-- ${note}\n${sql};`);
      if (!apply) continue;
      await client.query(sql).catch((error: unknown) => {
        throw databaseError(error, `applying ${sql}`);
      });
    }
    return steps;
  } catch (error) {
    throw databaseError(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}
