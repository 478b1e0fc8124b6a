import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';

/** Delivery, a dead letter, a checkpoint that settles, a job, and pruning: what a relay does in its life. */
async function worksAs(database: TestDatabase, url: string): Promise<void> {
  const organization = randomUUID();
  const publish = (type: string) => database.query(`SELECT walpost.publish($1, $2, '{}')`, [organization, type]);
  await using receiver = await EventReceiver.start(({ events }) => (events[0]?.event_type === 'bad' ? 400 : 204));
  await using relay = await RunningWalpost.start({
    database,
    url,
    sinks: { hook: receiver.sink({ batch: false }) },
    config: {
      source: { checkpoint_interval: '1s' },
      batching: { window: '10ms' },
      delivery: { log: 'all', max_attempts: 1, backoff: ['10ms'] },
      prune: { retention: '0', every: '1s' },
    },
  });
  await publish('good');
  await publish('bad');
  await publish('good');
  const one = async (sql: string): Promise<true | undefined> =>
    (await database.query(sql)).length > 0 ? true : undefined;
  await receiver.received(2);
  await poll('a dead letter', () => one('SELECT FROM walpost.dead_letters'), 20_000);
  await poll('a settled checkpoint', () => one('SELECT FROM walpost.checkpoints WHERE settled_at IS NOT NULL'), 20_000);
  await poll('the log of attempts', () => one('SELECT FROM walpost.delivery_log'), 20_000);
  await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ($1, 'replay')`, [database.slotName]);
  await poll('a job', () => one('SELECT WHERE NOT EXISTS (SELECT FROM walpost.jobs WHERE ended_at IS NULL)'), 20_000);
  expect(await database.query(`SELECT state, error FROM walpost.jobs WHERE state <> 'done'`)).toEqual([]);
  await poll(
    'pruning',
    async () => {
      await publish('more');
      return (await one('SELECT FROM walpost.outbox WHERE seq = 1')) ? undefined : true;
    },
    30_000,
  );
  expect(relay.cli.stderr).not.toMatch(/permission denied|42501|row-level security/);
  expect(await relay.stop()).toMatchObject({ code: 0 });
}

test(
  'a relay works as a member of walpost_relay with REPLICATION, and nothing more',
  { timeout: 120_000 },
  async () => {
    await using database = await createTestDatabase();
    await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
    await worksAs(database, role.url);
  },
);

test.each<PostgresMajor>(['15', '17', '18'])(
  'on Postgres %s the owner of a database, who is no superuser, installs walpost and runs it',
  { timeout: 120_000 },
  async (version) => {
    await using server = await startServer(version);
    await using database = await createTestDatabase({ migrated: false, server: server.url() });
    await using owner = await createRole(database, { attributes: 'REPLICATION CREATEROLE' });
    await database.query(`ALTER DATABASE ${database.name} OWNER TO ${owner.name}`);
    await migrate(owner.url);
    expect(
      await database.query(`SELECT rolname FROM pg_roles WHERE rolname LIKE 'walpost\\_%' ORDER BY 1`),
    ).toHaveLength(4);
    await worksAs(database, owner.url);
    const client = await owner.client();
    await client.query('SELECT walpost.partition_outbox()');
    await worksAs(database, owner.url);
    await database.query(`ALTER DATABASE ${database.name} OWNER TO CURRENT_USER`);
  },
);

test(
  'a role that may not create roles installs all the same, and is told what to do',
  { timeout: 60_000 },
  async () => {
    await using server = await startServer();
    await using database = await createTestDatabase({ migrated: false, server: server.url() });
    await using owner = await createRole(database);
    await database.query(`ALTER DATABASE ${database.name} OWNER TO ${owner.name}`);
    const notices: string[] = [];
    await migrate(owner.url, { onNotice: (text) => notices.push(text) });
    const notice = notices.join('\n');
    expect(notice).toContain('walpost_publisher');
    const remedy = /As an administrator: (.*;) Then.*: (SELECT .*;)/.exec(notice);
    await database.query(remedy?.[1] ?? '');
    const client = await owner.client();
    expect((await client.query(remedy?.[2] ?? '')).rows).toEqual([{ apply_grants: [] }]);
    await using publisher = await createRole(database, { in: ['walpost_publisher'] });
    const session = await publisher.client();
    const organization = randomUUID();
    await session.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
    await session.query(`SELECT walpost.publish($1, 'a', '{}')`, [organization]);
  },
);
