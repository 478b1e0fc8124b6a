/** Code that somebody planted where the relay, or the owner of walpost, comes by. It notes for whom it ran. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countOutbox } from '../../src/jobs/outbox-count.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type DatabaseRole, createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

let database: TestDatabase;
let role: DatabaseRole;
let attacker: pg.Client;
beforeEach(async () => {
  database = await createTestDatabase();
  role = await createRole(database);
  attacker = await role.client();
  await database.query(
    `GRANT CREATE ON DATABASE ${database.name} TO ${role.name}; GRANT ALL ON SCHEMA public TO ${role.name}`,
  );
  await attacker.query(`
    CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC;
    CREATE TABLE app.ran_as (name text); GRANT INSERT ON app.ran_as TO PUBLIC;
    CREATE FUNCTION app.attack() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.ran_as VALUES (current_user); RETURN true; END $$`);
});
afterEach(async () => {
  const ran = await database.query(`SELECT name FROM app.ran_as WHERE name <> '${role.name}'`);
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  if (ran.length > 0) throw new Error(`code of somebody else ran as ${JSON.stringify(ran)}`);
});

test('an auth.jwt() of somebody is not called by who reads a table of walpost', async () => {
  await attacker.query(`
    CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO PUBLIC;
    CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN NULL; END $$`);
  await using reader = await createRole(database, { in: ['walpost_reader'] });
  const client = await reader.client();
  await client.query('SELECT FROM walpost.outbox');
  await client.query('SELECT walpost_internal.current_organization()');
});

test('casts of types in a mapped table are not called by who counts and filters its rows', async () => {
  await attacker.query(`
    CREATE TYPE app.kind AS ENUM ('made', 'gone');
    CREATE FUNCTION app.to_text(app.kind) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN 'forged'; END $$;
    CREATE CAST (app.kind AS text) WITH FUNCTION app.to_text(app.kind) AS IMPLICIT;
    CREATE TABLE app.events (org uuid, kind app.kind, created_xid xid8 DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY);
    INSERT INTO app.events VALUES ('${randomUUID()}', 'made'), (NULL, 'gone'), (NULL, NULL)`);
  const pool = createPool(database.url, { applicationName: 'test', max: 1 });
  try {
    const source = {
      table: 'app.events',
      mapping: { organization_id: 'org', event_type: 'kind', topic: null, event_id: 'kind' },
    };
    const routing = { routes: [{ match: { topic: '*' }, to: ['out'] }], sinks: ['out'] };
    const count = async (filter: object) =>
      (await countOutbox(pool, source, { afterSnapshot: null, beforeXid: null, filter, routing })).eventTypes;
    expect(await count({})).toEqual([
      { name: 'gone', events: 1 },
      { name: 'made', events: 1 },
      { name: null, events: 1 },
    ]);
    for (const filter of [{ eventType: 'm*' }, { eventIds: ['made'] }]) {
      expect(await count(filter)).toEqual([{ name: 'made', events: 1 }]);
    }
    expect(await count({ eventType: '*' })).toHaveLength(2);
  } finally {
    await pool.end();
  }
});

test('a function in public that fits better than the one of the server is not called by a session of walpost', async () => {
  await attacker.query(`
    CREATE FUNCTION public.pg_try_advisory_lock(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN app.attack(); END $$`);
  const pool = createPool(database.url, { applicationName: 'test', max: 1 });
  try {
    await pool.query('SELECT pg_try_advisory_lock($1)', ['17']);
  } finally {
    await pool.end();
  }
});
