/** The functions of the schema walpost: what `\df walpost.*` lists, and how they are called. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const page = join(import.meta.dirname, '../../docs/sql.md');

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database[Symbol.asyncDispose]());

const functions = () =>
  database.query<{ name: string; signature: string }>(
    `SELECT proname AS name, oid::regprocedure::text AS signature FROM pg_proc WHERE pronamespace = 'walpost'::regnamespace ORDER BY 1`,
  );

test('they are those of the table in docs/sql.md, each with one signature', async () => {
  const table = (await readFile(page, 'utf8')).split('\n## ')[0] ?? '';
  const documented = [...table.matchAll(/^\| (`.*?) +\|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name),
  );
  const names = (await functions()).map(({ name }) => name);
  expect(names).toEqual(documented.toSorted());
  expect(new Set(names).size).toBe(names.length);
});

test('names of arguments need no quotes', async () => {
  expect(
    await database.query(`
      SELECT p.oid::regprocedure::text AS function, a.name FROM pg_proc AS p, unnest(p.proargnames) AS a (name)
       WHERE p.pronamespace = 'walpost'::regnamespace AND quote_ident(a.name) <> a.name`),
  ).toEqual([]);
});

test('functions that triggers and other functions of walpost call are not among them', async () => {
  const internal = await database.query(`
    SELECT p.oid::regprocedure::text AS function FROM pg_proc AS p
     WHERE p.pronamespace = 'walpost'::regnamespace AND p.prorettype = 'trigger'::regtype`);
  expect(internal).toEqual([]);
});
