import { expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase } from '../support/database.ts';

test('values keep every digit, whatever the settings of the database', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await database.query(`ALTER DATABASE ${database.name} SET datestyle = 'German'`);
  await database.query(`ALTER DATABASE ${database.name} SET timezone = 'Asia/Kolkata'`);
  await database.query(`ALTER DATABASE ${database.name} SET default_transaction_isolation = 'serializable'`);
  const pool = createPool(database.url, { applicationName: 'pool test', max: 1 });
  const { rows } = await pool.query(`
    SELECT 9007199254740993::bigint AS bigint, '16/B374D848'::pg_lsn AS lsn, '{"n": 1.50}'::jsonb AS jsonb,
           '2026-11-20 14:00:00.123456+00'::timestamptz AS time, true AS boolean, 7 AS integer, '{a,b}'::text[] AS list,
           current_setting('application_name') AS name, current_setting('transaction_isolation') AS isolation`);
  expect(rows).toEqual([
    {
      bigint: '9007199254740993',
      lsn: '16/B374D848',
      jsonb: '{"n": 1.50}',
      time: '2026-11-20 14:00:00.123456+00',
      boolean: true,
      integer: 7,
      list: ['a', 'b'],
      name: 'pool test',
      isolation: 'read committed',
    },
  ]);
  await pool.end();
});

test('what the connection string sets beside that stays, and wins over nothing', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const url = new URL(database.url);
  url.searchParams.set('application_name', 'somebody else');
  url.searchParams.set('statement_timeout', '0');
  url.searchParams.set('options', '-c datestyle=German -c work_mem=7MB');
  const pool = createPool(url.href, { applicationName: 'pool test', max: 1 });
  const { rows } = await pool.query(`
    SELECT current_setting('application_name') AS name, current_setting('datestyle') AS dates,
           current_setting('statement_timeout') AS timeout, current_setting('work_mem') AS memory`);
  expect(rows).toEqual([{ name: 'pool test', dates: 'ISO, MDY', timeout: '1min', memory: '7MB' }]);
  await pool.end();
});

test('a connection that ends while idle is reported and replaced', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const reported: Error[] = [];
  const pool = createPool(database.url, { applicationName: 'idle', max: 1, onError: (error) => reported.push(error) });
  await pool.query('SELECT 1');
  const removed = new Promise((resolve) => pool.once('remove', resolve));
  await database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idle'");
  await removed;
  expect(reported).toMatchObject([{ code: '57P01' }]);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
});

test('a malformed connection string is named, and not shown', () => {
  const make = () => createPool('postgres://user:hunter2@[half/database', { applicationName: 'x', max: 1 });
  expect(make).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', cause: undefined }));
  expect(make).not.toThrow(/hunter2/);
});
