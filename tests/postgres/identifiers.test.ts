import { expect, test } from 'vitest';
import { quoteIdentifier, quoteQualified } from '../../src/postgres/identifiers.ts';
import { createTestDatabase } from '../support/database.ts';

test.each([
  ['walpost.outbox', '"walpost"."outbox"'],
  ['Outbox', '"Outbox"'],
  ['"my.schema"."a ""b"""', '"my.schema"."a ""b"""'],
  ['public."x; drop table y"', '"public"."x; drop table y"'],
])('%s is quoted as %s', (name, quoted) => {
  expect(quoteQualified(name)).toBe(quoted);
});

test.each(['', '.', 'a.', '.a', 'a..b', 'a b".c', '"open', '""', 'x'.repeat(64), 'nul\0'])('%j is refused', (name) => {
  expect(() => quoteQualified(name)).toThrow(RangeError);
});

test('the server reads back the very name', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const name = 'a "quoted" \\ név; --';
  await database.query(`CREATE TABLE ${quoteIdentifier(name)} ()`);
  const rows = await database.query<{ relname: string }>('SELECT relname FROM pg_class WHERE relname = $1', [name]);
  expect(rows).toEqual([{ relname: name }]);
});
