/** A server that accepts the login and then says nothing more must not hold up a command for ever. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createPool, SILENCE_MS } from '../../src/postgres/pool.ts';
import { databaseError } from '../../src/postgres/database-error.ts';
import { createTestDatabase } from '../support/database.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const FOLDER = new URL('../../src/cli/', import.meta.url);
const SCHEMA = new URL('../../src/postgres/schema/', import.meta.url);

test('each pool of a command gives up a statement that is not answered', () => {
  const pools = readdirSync(FOLDER).flatMap((name) =>
    [...readFileSync(new URL(name, FOLDER), 'utf8').matchAll(/createPool\([^;]*;/g)].map(
      ([call]) => `${name}: ${call}`,
    ),
  );
  expect(pools.length).toBeGreaterThan(2);
  expect(pools.filter((call) => !call.includes('queryTimeoutMs: SILENCE_MS'))).toEqual([]);
  expect(SILENCE_MS).toBeGreaterThan(60_000);
});

test('each session of a command is watched', () => {
  const files = [FOLDER, SCHEMA].flatMap((folder) => readdirSync(folder).map((name) => new URL(name, folder)));
  const texts = files.map((file) => ({ file, text: readFileSync(file, 'utf8') }));
  expect(texts.filter(({ text }) => text.includes('inCommandSession(')).length).toBeGreaterThan(2);
  expect(
    texts.filter(({ text }) => /sessionClient\(|new pg\.Client\(/.test(text)).map(({ file }) => file.pathname),
  ).toEqual([]);
});

test('it ends with CONNECTION_LOST', async () => {
  await using database = await createTestDatabase();
  await using proxy = await TcpProxy.before(database.url);
  const pool = createPool(proxy.url(database.url), { applicationName: 'silent', max: 1, queryTimeoutMs: 300 });
  await pool.query('SELECT 1');
  proxy.hold();
  const failure: unknown = await pool.query('SELECT 2').catch((error: unknown) => error);
  expect(databaseError(failure)).toMatchObject({ code: 'CONNECTION_LOST' });
  proxy.forward();
  await pool.end();
});
