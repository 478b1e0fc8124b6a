import { describe, expect, test } from 'vitest';
import { assertMigrated, migrate, plan, type MigrateOptions } from '../../src/postgres/schema/migrate.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { readMigrations } from '../../src/postgres/schema/migration-files.ts';
import { compareReleases } from '../../src/postgres/schema/release-order.ts';
import { readRepeatables, type Repeatable, repeatableState } from '../../src/postgres/schema/repeatable.ts';
import { createTestDatabase } from '../support/database.ts';

const file = (name: string, checksum: string): Repeatable => ({ name, checksum, sql: '' });
const row = (name: string, checksum: string, release: string) => ({ name, checksum, release });

test('releases are compared as numbers, and a pre-release is older than its release', () => {
  const ordered = ['unknown', '0.1.0-beta.2', '0.1.0-beta.10', '0.1.0', '0.1.2', '0.1.10', '0.2.0', '1.0.0'];
  expect(ordered.toReversed().toSorted(compareReleases)).toEqual(ordered);
  expect(compareReleases('0.1.0', '0.1.0')).toBe(0);
});

describe('what is outdated', () => {
  const files = [file('functions/01_a.sql', 'a'), file('views/01_b.sql', 'b')];
  test('what is missing or differs, in the order of the files', () => {
    expect(repeatableState(files, [], '0.1.0').outdated).toEqual(files);
    const applied = [row('views/01_b.sql', 'b', '0.1.0'), row('functions/01_a.sql', 'old', '0.1.0')];
    expect(repeatableState(files, applied, '0.1.0')).toMatchObject({ outdated: [files[0]], unstamped: true });
  });

  test('nothing of a newer release, whatever differs', () => {
    const applied = [row('functions/01_a.sql', 'old', '0.1.0'), row('functions/02_new.sql', 'n', '0.2.0')];
    expect(repeatableState(files, applied, '0.1.9')).toEqual({ newer: '0.2.0', outdated: [], unstamped: false });
  });

  test('the same files of an older release are recorded as those of this one', () => {
    const applied = files.map(({ name, checksum }) => row(name, checksum, '0.1.0'));
    expect(repeatableState(files, applied, '0.2.0')).toEqual({ newer: undefined, outdated: [], unstamped: true });
    expect(repeatableState(files, applied, '0.1.0').unstamped).toBe(false);
    const removed = [...applied, row('views/09_gone.sql', 'x', '0.1.0')];
    expect(repeatableState(files, removed, '0.1.0').unstamped).toBe(true);
  });
});

test('a newer program names the functions that it needs, and an older one works with newer ones', async () => {
  await using database = await createTestDatabase();
  const migrations = await readMigrations();
  const changed = (await readRepeatables()).map((it) =>
    it.name === 'functions/03_publish.sql' ? { ...it, sql: `${it.sql}\n-- More.`, checksum: 'more' } : it,
  );
  const newer: MigrateOptions = { migrations, repeatables: changed, release: '9.0.0' };
  const pool = createPool(database.url, { applicationName: 'check', max: 2 });
  try {
    await assertMigrated(pool);
    await expect(assertMigrated(pool, newer)).rejects.toMatchObject({
      code: 'MIGRATION_MISSING',
      message: expect.stringContaining('To be applied: functions/03_publish.sql.') as string,
    });
    expect((await plan(database.url, newer)).map(({ name }) => name)).toEqual(['functions/03_publish.sql']);
    await migrate(database.url, newer);
    await assertMigrated(pool, newer);
    await assertMigrated(pool);
    expect(await plan(database.url)).toEqual([]);
  } finally {
    await pool.end();
  }
});
