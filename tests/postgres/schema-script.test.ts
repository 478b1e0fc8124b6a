import { expect, test } from 'vitest';
import { migrate, plan } from '../../src/postgres/schema/migrate.ts';
import { schemaScript } from '../../src/postgres/schema/schema-script.ts';
import { createTestDatabase } from '../support/database.ts';
import { schemaListing } from '../support/schema-listing.ts';
import { walpost } from '../support/walpost-cli.ts';

test('the printed SQL makes the schema that migrate makes, which then finds nothing to do', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await using other = await createTestDatabase();
  const printed = await walpost(['migrate', '--sql']); // without a configuration and a connection
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  const script = printed.stdout;
  expect(script).toBe(await schemaScript());
  expect(script).not.toMatch(/[^\x00-\x7f]/);
  const client = await database.client();
  await client.query(script);
  expect(await plan(database.url)).toEqual([]);
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  expect(await migrate(database.url, { onMended: say, onNotice: say })).toEqual([]);
  expect(said).toEqual([]);
  const listing = (from: typeof client) => schemaListing(from, { bodies: true });
  expect(await listing(client)).toBe(await listing(await other.client()));
  expect(await database.query('SELECT recorded_by FROM walpost.installation')).toEqual([{ recorded_by: 'migrate' }]);
  await client.query(script.slice(script.lastIndexOf('BEGIN;'))); // what a later release would print again
  expect(await plan(database.url)).toEqual([]);
});
