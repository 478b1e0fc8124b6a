/** Every setting that a role or a database can give to a session, on each server version, has been judged. */
import { expect, test } from 'vitest';
import { HARMLESS, PINNED, PINNED_IF_KNOWN, WATCHED } from '../../src/postgres/judged-settings.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { newClient } from '../support/client.ts';

const judged: readonly string[] = [
  ...[PINNED, PINNED_IF_KNOWN, WATCHED].flatMap((settings) => Object.keys(settings)),
  ...HARMLESS.flatMap(({ names }) => names),
];

/** What ALTER ROLE and ALTER DATABASE accept; those of the server as a whole have other contexts. Loads plpgsql first. */
const SETTINGS = `SELECT name FROM pg_settings
  WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend') AND name NOT LIKE 'debug_assertions'`;

const known = new Set<string>();

test.each<PostgresMajor>(['15', '16', '17', '18'])(
  'Postgres %s',
  async (version) => {
    await using server = await startServer(version);
    const client = newClient(server.url());
    await client.connect();
    try {
      await client.query('DO $$ BEGIN END $$');
      const { rows } = await client.query<{ name: string }>(SETTINGS);
      expect(rows.length).toBeGreaterThan(150);
      for (const { name } of rows) known.add(name);
      expect(rows.map(({ name }) => name).filter((name) => !judged.includes(name))).toEqual([]);
    } finally {
      await client.end();
    }
  },
  120_000,
);

test('once each, and nothing that no server knows', () => {
  expect(judged.filter((name, index) => judged.indexOf(name) !== index)).toEqual([]);
  // The server does not list a role, and settings of policies are ours to name.
  const unlisted = ['role', 'app.current_org_id'];
  expect(judged.filter((name) => !known.has(name) && !unlisted.includes(name))).toEqual([]);
});
