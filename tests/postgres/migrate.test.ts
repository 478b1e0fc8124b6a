import { expect, test } from 'vitest';
import { assertMigrated, migrate, plan } from '../../src/postgres/migrate.ts';
import { type Migration, readMigrations } from '../../src/postgres/migration-files.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const migration = (number: number, sql: string, more: Partial<Migration> = {}): Migration => ({
  number,
  name: `${String(number).padStart(3, '0')}_test.sql`,
  sql,
  checksum: `checksum of ${sql}`,
  breaking: false,
  ...more,
});

const names = (migrations: readonly Migration[]): string[] => migrations.map(({ name }) => name);

const recorded = (database: TestDatabase): Promise<{ name: string }[]> =>
  database.query('SELECT name FROM walpost.migrations ORDER BY number');

async function check(database: TestDatabase, migrations?: readonly Migration[]): Promise<void> {
  const pool = createPool(database.url, { applicationName: 'check', max: 1 });
  try {
    await assertMigrated(pool, migrations);
  } finally {
    await pool.end();
  }
}

test('brings an empty database to the state of sql/, and then has nothing to do', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const files = await readMigrations();
  expect(files.length).toBeGreaterThan(5);
  await expect(check(database)).rejects.toMatchObject({ code: 'MIGRATION_MISSING' });
  expect(names(await plan(database.url))).toEqual(names(files));
  expect(await database.query("SELECT 1 FROM pg_namespace WHERE nspname = 'walpost'")).toEqual([]);

  const steps: string[] = [];
  const applied = await migrate(database.url, { onStep: ({ name }) => steps.push(name) });
  expect(names(applied)).toEqual(names(files));
  expect(steps).toEqual(names(files));
  await check(database);

  expect(await plan(database.url)).toEqual([]);
  expect(await migrate(database.url)).toEqual([]);
});

test('twenty that start at once apply each file once', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const files = await readMigrations();
  const all = await Promise.all(Array.from({ length: 20 }, () => migrate(database.url)));
  expect(all.map((applied) => applied.length).toSorted((a, b) => a - b)).toEqual([...Array(19).fill(0), files.length]);
  expect(await recorded(database)).toEqual(files.map(({ name }) => ({ name })));
});

test('a file that fails leaves nothing of itself, and the ones before it stay', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const good = migration(1, 'CREATE TABLE walpost.one ()');
  const bad = migration(2, 'CREATE TABLE walpost.two (); SELECT 1 / 0');
  await expect(migrate(database.url, { migrations: [good, bad] })).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining('002_test.sql'),
  });
  expect(await recorded(database)).toEqual([{ name: good.name }]);
  const tables = await database.query(
    "SELECT to_regclass('walpost.one') IS NULL AS one, to_regclass('walpost.two') IS NULL AS two",
  );
  expect(tables).toEqual([{ one: false, two: true }]);
  const unrecorded = migration(
    2,
    'CREATE TABLE walpost.two (); ALTER TABLE walpost.migrations ADD CONSTRAINT full_up CHECK (number < 2)',
  );
  await expect(migrate(database.url, { migrations: [good, unrecorded] })).rejects.toMatchObject({ code: 'DATABASE' });
  const repaired = migration(2, 'CREATE TABLE walpost.two ()');
  expect(names(await migrate(database.url, { migrations: [good, repaired] }))).toEqual([repaired.name]);
});

test('a file that changed after it was applied is refused', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await migrate(database.url, { migrations: [migration(1, 'SELECT 1')] });
  const changed = [migration(1, 'SELECT 2'), migration(2, 'SELECT 3')];
  for (const attempt of [migrate, plan]) {
    await expect(attempt(database.url, { migrations: changed })).rejects.toMatchObject({ code: 'MIGRATION_CHANGED' });
  }
  await expect(check(database, changed)).rejects.toMatchObject({ code: 'MIGRATION_CHANGED' });
  expect(await recorded(database)).toHaveLength(1);
});

test('an older program works with a newer schema, unless that is declared to be breaking', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const older = [migration(1, 'SELECT 1')];
  const newer = [...older, migration(2, 'SELECT 2')];
  await migrate(database.url, { migrations: newer });
  await check(database, older);
  expect(await migrate(database.url, { migrations: older })).toEqual([]);

  await migrate(database.url, { migrations: [...newer, migration(3, 'SELECT 3', { breaking: true })] });
  for (const attempt of [migrate, plan]) {
    await expect(attempt(database.url, { migrations: older })).rejects.toMatchObject({
      code: 'MIGRATION_NEWER',
      message: expect.stringContaining('003_test.sql'),
    });
  }
  await expect(check(database, older)).rejects.toMatchObject({ code: 'MIGRATION_NEWER' });
});

test('waits for a migration that runs elsewhere without holding back the horizon of VACUUM', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const holder = await database.client();
  await holder.query('SELECT pg_advisory_lock($1)', [0x77616c706f7374n]);
  let done = false;
  const waiting = migrate(database.url, { migrations: [migration(1, 'SELECT 1')] }).finally(() => (done = true));
  const waiter = async (): Promise<{ pid: number; xact_start: string }> => {
    for (;;) {
      const [row] = await database.query<{ pid: number; xact_start: string }>(
        `SELECT pid, xact_start::text FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'walpost migrate' AND wait_event = 'advisory'`,
      );
      if (row) return row;
    }
  };
  const first = await waiter();
  let later = await waiter();
  while (later.xact_start === first.xact_start) later = await waiter();
  expect(later.pid).toBe(first.pid);
  expect(done).toBe(false);
  await holder.query('SELECT pg_advisory_unlock_all()');
  expect(await waiting).toHaveLength(1);
});
