/** What commands say when the database is not as it should be: the cause, and what to do about it. */
import { expect, test } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase } from '../support/database.ts';
import { walpost } from '../support/walpost-cli.ts';

const config = (url: string): string =>
  JSON.stringify({
    database: { url },
    sinks: { log: { type: 'stdout' } },
    routes: [{ to: ['log'] }],
    http: { port: 1 },
  });

test('without the schema, prune says so as every command does', async () => {
  await using database = await createTestDatabase({ migrated: false });
  using file = new ConfigFile(config(database.url));
  const { code, stderr } = await walpost(['prune', '--config', file.path]);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^MIGRATION_MISSING\n(.*\n)+ {2}Run `walpost migrate`\.\n$/),
  });
});

test('a database that does not let it in: the status says what to correct', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const url = new URL(database.url);
  url.pathname = `/${database.name}_x`;
  using file = new ConfigFile(config(url.href));
  const { code, stdout } = await walpost(['status', '--config', file.path]);
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^The database could not be asked: The database does not exist\. .*\(SQLSTATE 3D000\)\. Create it, or correct database\.url\.$/m,
  );
});
