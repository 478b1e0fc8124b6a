import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';

const missing = await debianPostgresMissing();
const directory = join(import.meta.dirname, 'pgtap');

test.skipIf(missing !== undefined)('what pgTAP says of the schema', { timeout: 60_000 }, async () => {
  await using server = await startDebianPostgres();
  await using database = await createTestDatabase({ server: server.url() });
  await database.query('CREATE EXTENSION pgtap');
  const files = (await readdir(directory)).filter((name) => name.endsWith('.sql'));
  expect(files).not.toEqual([]);
  for (const file of files) {
    const client = await database.client();
    const sql = await readFile(join(directory, file), 'utf8');
    const results = await client.query<Record<string, string>>({ text: `BEGIN; ${sql}; ROLLBACK` });
    const lines = [results].flat().flatMap(({ rows }) => rows.flatMap((row) => Object.values(row)));
    const told = lines.filter((line) => /^(not )?ok /.test(line));
    expect(told.length).toBeGreaterThan(30);
    expect(lines.filter((line) => /^not ok|^#/.test(line))).toEqual([]);
  }
});
