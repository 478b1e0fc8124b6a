import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readMigrations } from '../../src/postgres/schema/migration-files.ts';
import { readRepeatables } from '../../src/postgres/schema/repeatable.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'walpost-sql-'));
});
afterEach(() => rm(directory, { recursive: true }));

const write = (name: string, text: string): Promise<void> => writeFile(join(directory, name), text);

test('numbers, names and what is declared in the head', async () => {
  await write('002_second.sql', '-- A heading.\n\n-- walpost:breaking\n-- More.\nSELECT 2;\n');
  await write('001_first.sql', '-- A heading.\nSELECT 1;\n-- walpost:breaking\n');
  await write('notes.md', 'not a migration');
  expect(await readMigrations(directory)).toMatchObject([
    { number: 1, name: '001_first.sql', breaking: false },
    { number: 2, name: '002_second.sql', breaking: true },
  ]);
});

test('the checksum tells texts apart, but not line ends', async () => {
  await write('001_a.sql', 'SELECT 1;\nSELECT 2;\n');
  await write('002_b.sql', 'SELECT 1;\r\nSELECT 2;\r\n');
  await write('003_c.sql', 'SELECT 1;\nSELECT 3;\n');
  const [a, b, c] = (await readMigrations(directory)).map(({ checksum }) => checksum);
  expect(a).toBe(b);
  expect(a).not.toBe(c);
});

test('a name without a number and a number used twice are refused', async () => {
  await write('outbox.sql', '');
  await expect(readMigrations(directory)).rejects.toThrow('outbox.sql is not named like');
  await rm(join(directory, 'outbox.sql'));
  await write('001_a.sql', '');
  await write('001_b.sql', '');
  await expect(readMigrations(directory)).rejects.toThrow('the number of 001_a.sql');
});

test('what is applied is ASCII: a database in another encoding takes it too', async () => {
  const migrations = [...(await readMigrations()), ...(await readRepeatables())];
  expect(migrations.length).toBeGreaterThan(20);
  expect(migrations.filter(({ sql }) => /[^\x00-\x7f]/.test(sql)).map(({ name }) => name)).toEqual([]);
});
