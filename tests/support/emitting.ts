import type pg from 'pg';

/**
 * Publishes (p) or emits (e) events with the numbers from `from` on; ( sets a savepoint, ) goes back to it, | releases it.
 * Numbers that are taken back are used up.
 */
export async function writeSteps(client: pg.Client, organization: string, steps: string, from = 0): Promise<void> {
  let n = from;
  for (const step of steps) {
    const savepoint = { '(': 'SAVEPOINT s', ')': 'ROLLBACK TO s', '|': 'RELEASE s' }[step];
    const call = `SELECT walpost.${step === 'p' ? 'publish' : 'emit'}($1, 'a.b', jsonb_build_object('n', $2::int))`;
    if (savepoint !== undefined) await client.query(savepoint);
    else await client.query(call, [organization, n++]);
  }
}

/** The same in a transaction. */
export function transactionWriter(client: pg.Client, organization: string) {
  return async (steps: string, { from = 0, end = 'COMMIT' } = {}): Promise<void> => {
    await client.query('BEGIN');
    await writeSteps(client, organization, steps, from);
    await client.query(end);
  };
}
