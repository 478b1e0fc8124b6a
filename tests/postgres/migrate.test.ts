import { describe, expect, test } from 'vitest';
import { ERROR_CODES, type WalpostError } from '../../src/errors.ts';
import { assertMigrated, migrate, plan, type MigrationStep } from '../../src/postgres/schema/migrate.ts';
import { type Migration, readMigrations } from '../../src/postgres/schema/migration-files.ts';
import { tablesOf } from '../../src/postgres/schema/missing-tables.ts';
import { readRepeatables } from '../../src/postgres/schema/repeatable.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';

const migration = (number: number, sql: string, more: Partial<Migration> = {}): Migration => ({
  number,
  name: `${String(number).padStart(3, '0')}_test.sql`,
  sql,
  checksum: `checksum of ${sql}`,
  breaking: false,
  ...more,
});

const names = (migrations: readonly MigrationStep[]): string[] => migrations.map(({ name }) => name);

const recorded = (database: TestDatabase): Promise<{ name: string }[]> =>
  database.query('SELECT name FROM walpost.migrations ORDER BY number');

async function check(database: TestDatabase, migrations?: readonly Migration[]): Promise<void> {
  const pool = createPool(database.url, { applicationName: 'check', max: 1 });
  try {
    await assertMigrated(pool, migrations && { migrations });
  } finally {
    await pool.end();
  }
}

test('brings an empty database to the state of sql/, and then has nothing to do', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const files = [...(await readMigrations()), ...(await readRepeatables())];
  expect(files.length).toBeGreaterThan(20);
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

test('a table that is gone is named, by everything that looks at the schema, and nothing is up to date', async () => {
  await using database = await createTestDatabase();
  await database.query('ALTER TABLE walpost.lanes RENAME TO lanes_old; DROP TABLE walpost.outbox CASCADE');
  const damaged = {
    code: 'SCHEMA_DAMAGED',
    message: expect.stringMatching(/Missing: walpost\.outbox, walpost\.lanes\.$/) as string,
  };
  await expect(migrate(database.url)).rejects.toMatchObject(damaged);
  await expect(plan(database.url)).rejects.toMatchObject(damaged);
  await expect(check(database)).rejects.toMatchObject(damaged);
  const remedy = /stored: (.*;) then/.exec(ERROR_CODES.SCHEMA_DAMAGED.remedy)?.[1] ?? '';
  await database.query(remedy);
  expect((await migrate(database.url)).length).toBeGreaterThan(20);
  await check(database);
});

test('which tables files make', () => {
  const sql =
    'CREATE TABLE walpost.a (\n);\nCREATE TABLE IF NOT EXISTS walpost_internal.b ();\nCREATE TABLE walpost.c ();';
  const later = 'DROP TABLE IF EXISTS walpost.c;\nALTER TABLE walpost.a RENAME TO z;\n-- CREATE TABLE walpost.d';
  expect(tablesOf([{ sql }, { sql: later }])).toEqual(['walpost_internal.b', 'walpost.z']);
});

test('twenty that start at once apply each file once', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const files = await readMigrations();
  const repeatables = await readRepeatables();
  const all = await Promise.all(Array.from({ length: 20 }, () => migrate(database.url)));
  expect(all.map((applied) => applied.length).toSorted((a, b) => a - b)).toEqual([
    ...Array(19).fill(0),
    files.length + repeatables.length,
  ]);
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

describe('in the way of a migration', () => {
  const TURN = 'BEGIN; LOCK TABLE walpost.migration_turn IN SHARE UPDATE EXCLUSIVE MODE';
  const one = migration(1, 'SELECT 1');
  const two = [one, migration(2, 'SELECT 2')];

  test('another migration is waited for without holding back the horizon of VACUUM', async () => {
    await using database = await createTestDatabase({ migrated: false });
    await migrate(database.url, { migrations: [one] });
    const holder = await database.client();
    await holder.query(TURN);
    let done = false;
    const waiting = migrate(database.url, { migrations: two }).finally(() => (done = true));
    const waiter = async (): Promise<{ pid: number; xact_start: string }> => {
      for (;;) {
        const [row] = await database.query<{ pid: number; xact_start: string }>(
          `SELECT pid, xact_start::text FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'walpost migrate' AND wait_event = 'relation'`,
        );
        if (row) return row;
      }
    };
    const first = await waiter();
    let later = await waiter();
    while (later.xact_start === first.xact_start) later = await waiter();
    expect(later.pid).toBe(first.pid);
    expect(done).toBe(false);
    await holder.query('COMMIT');
    expect(await waiting).toHaveLength(1);
  });

  test('no advisory lock is, whoever holds it', async () => {
    await using database = await createTestDatabase({ migrated: false });
    const stranger = await database.client();
    await stranger.query('SELECT pg_advisory_lock($1)', [0x77616c706f7374n]);
    expect(await migrate(database.url, { migrations: [one] })).toHaveLength(1);
  });

  test('who migrates and does not come to an end is named, and given up on', async () => {
    await using database = await createTestDatabase({ migrated: false });
    await migrate(database.url, { migrations: [one] });
    const holder = await database.client();
    await holder.query(TURN);
    const pid = (await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
    const notices: string[] = [];
    const waiting = migrate(database.url, {
      migrations: two,
      patience: 4_000,
      onNotice: (text) => notices.push(text),
    });
    const error = await waiting.then(
      () => undefined,
      (reason: WalpostError) => reason,
    );
    expect(error).toMatchObject({
      code: 'MIGRATION_WAITS',
      message: expect.stringContaining(`server process ${pid} (role `),
      remedy: expect.stringContaining(`SELECT pg_terminate_backend(${pid});`),
    });
    expect(notices).toEqual([expect.stringContaining(`for server process ${pid}`)]);
    await database.query('SELECT pg_terminate_backend($1)', [pid]);
    expect(await migrate(database.url, { migrations: two })).toHaveLength(1);
  });

  test('a publisher that waits for it in a circle is not the one that gives up', async () => {
    await using database = await createTestDatabase();
    await database.query('CREATE TABLE walpost.first (); CREATE TABLE walpost.second ()');
    const files = await readMigrations();
    // It holds one table for a moment before it wants the other: so long the publisher has waited for it by then.
    const file = migration(
      900,
      'LOCK TABLE walpost.first; SELECT pg_sleep(0.4); ALTER TABLE walpost.second ADD a integer',
    );
    const publisher = await database.client();
    await publisher.query('BEGIN; LOCK TABLE walpost.second IN ROW EXCLUSIVE MODE');
    const applied = migrate(database.url, { migrations: [...files, file] });
    await poll('the migration holds the first table', async () => {
      const held = `SELECT FROM pg_locks WHERE relation = 'walpost.first'::regclass AND mode = 'AccessExclusiveLock'`;
      return (await database.query(held)).length > 0 || undefined;
    });
    await publisher.query('LOCK TABLE walpost.first IN ROW EXCLUSIVE MODE'); // the server would end one of the two
    await publisher.query('COMMIT');
    expect((await applied).map(({ name }) => name)).toEqual([file.name]);
  });

  test('a transaction that has only read a table holds a file up, is named, and the file goes on when it ends', async () => {
    await using database = await createTestDatabase();
    await database.query('CREATE TABLE walpost.read ()');
    const files = await readMigrations();
    const more = [...files, migration(900, 'ALTER TABLE walpost.read ADD COLUMN one integer')];
    await using reader = await createRole(database);
    await database.query(
      `GRANT USAGE ON SCHEMA walpost TO ${reader.name}; GRANT SELECT ON walpost.read TO ${reader.name}`,
    );
    const session = await reader.client();
    await session.query('BEGIN; SELECT FROM walpost.read');
    const notices: string[] = [];
    const told = new Promise<void>((resolve) => {
      migrate(database.url, {
        migrations: more,
        onNotice: (text) => {
          notices.push(text);
          resolve();
        },
      }).then(
        (applied) => notices.push(`applied ${applied.length}`),
        (error: Error) => notices.push(error.message),
      );
    });
    await told;
    expect(notices[0]).toContain('applying 900_test.sql');
    expect(notices[0]).toContain(`role ${reader.name}`);
    await session.query('COMMIT');
    await poll('the file is applied', async () => (notices[1] === 'applied 1' ? true : undefined));
  });
});
