/** docs/endpoints.md: its SQL for customers who reach the database themselves is run as it stands there. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase } from '../support/database.ts';
import { refusal } from '../support/endpoint-calls.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';

const page = join(import.meta.dirname, '../../docs/endpoints.md');

/** The block behind the comment that names this test. */
async function example(): Promise<string> {
  const [, behind = ''] = (await readFile(page, 'utf8')).split('<!-- tests/sql/endpoint-docs.test.ts runs it -->');
  return /```sql\n([^]*?)```/.exec(behind)?.[1] ?? 'the page has no example';
}

test.each<PostgresMajor>(['15', '17'])(
  'on Postgres %s customers manage their own endpoints through functions of the application',
  { timeout: 120_000 },
  async (version) => {
    await using server = await startServer(version);
    await using database = await createTestDatabase({ server: server.url() });
    await database.query('CREATE ROLE authenticated NOLOGIN; CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO PUBLIC');
    await database.query(
      `CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql AS $$ SELECT current_setting('request.jwt.claims', true)::jsonb $$`,
    );
    await database.query(await example());
    await using gateway = await createRole(database, { in: ['authenticated'] });
    const client = await gateway.client();
    const [ours, theirs] = [randomUUID(), randomUUID()];
    const as = (organization: string) =>
      client.query(
        `SET ROLE authenticated; SELECT set_config('request.jwt.claims', '${JSON.stringify({ app_metadata: { organization_id: organization } })}', false)`,
      );
    const mine = async () =>
      (await client.query<{ url: string }>('SELECT url FROM api.my_endpoints()')).rows.map(({ url }) => url);

    await as(ours);
    const { rows } = await client.query<{ endpoint_id: string; secret: string }>(
      `SELECT * FROM api.add_endpoint('https://hooks.example.com/in', '{invoice.*}')`,
    );
    const id = rows[0]?.endpoint_id;
    expect(rows[0]?.secret).toMatch(/^whsec_/);
    expect(await mine()).toEqual(['https://hooks.example.com/in']);
    expect((await client.query('SELECT api.rotate_endpoint_secret($1) AS secret', [id])).rows).toEqual([
      { secret: expect.stringMatching(/^whsec_/) as string },
    ]);

    await as(theirs);
    expect(await mine()).toEqual([]);
    expect(await refusal(client.query('SELECT api.remove_endpoint($1)', [id]))).toMatchObject({ code: 'P0002' });
    // The setting of the session does not help where there is a token.
    await client.query(`SELECT set_config('app.current_org_id', '${ours}', false)`);
    expect(await refusal(client.query('SELECT api.remove_endpoint($1)', [id]))).toMatchObject({ code: 'P0002' });
    for (const direct of [
      'SELECT FROM walpost.endpoints',
      `SELECT walpost.remove_endpoint('${id}')`,
      `SELECT walpost.publish('${ours}', 'a', '{}')`,
    ]) {
      expect(await refusal(client.query(direct)), `${direct} is tried`).toMatchObject({ code: '42501' });
    }
    expect(await database.query('SELECT what FROM walpost.deviations()')).toEqual([]);

    await as(ours);
    await client.query('SELECT api.remove_endpoint($1)', [id]);
    expect(await mine()).toEqual([]);
  },
);
