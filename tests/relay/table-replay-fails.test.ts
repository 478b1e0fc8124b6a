import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { TableScene } from './table-scene.ts';

let server: EmbeddedPostgres;
beforeAll(async () => {
  server = await startServer('17');
});
afterAll(() => server[Symbol.asyncDispose]());

const MISSED = [
  'ALTER PUBLICATION walpost DROP TABLE {table}; {event}; {event}; ALTER PUBLICATION walpost ADD TABLE {table}',
];
const HIDE = 'DROP POLICY IF EXISTS walpost_relay ON walpost.outbox';
const PROVEN =
  'SELECT event_id FROM walpost.outbox WHERE event_id = ANY($1::uuid[]) AND walpost.is_proven(created_xid)';
const SHOW = 'CREATE POLICY walpost_relay ON walpost.outbox FOR SELECT TO walpost_relay USING (true)';

async function states(scene: TableScene): Promise<readonly string[]> {
  const rows = await scene.database.query<{ state: string }>('SELECT state FROM walpost.jobs ORDER BY id');
  return rows.map(({ state }) => state);
}

/** Publishes until all that was written before is proven. */
async function proven(scene: TableScene): Promise<void> {
  const [last] = await scene.database.query('SELECT max(created_xid)::text AS xid FROM walpost.outbox');
  await poll('all is proven', async () => {
    const [row] = await scene.database.query('SELECT walpost.is_proven($1::xid8) AS proven', [last?.xid]);
    if (row?.proven === true) return true;
    await scene.take([1]);
    return undefined;
  });
}

test.for([
  { what: 'the relay goes on', restarts: false },
  { what: 'another process takes over', restarts: true },
])('a replay that fails is asked for again, and proves nothing before it is done: $what', async ({ restarts }) => {
  await using scene = await TableScene.set(server.url(), 'walpost', { role: true });
  await scene.take([3]);
  await scene.settled();
  await scene.take([
    `CREATE FUNCTION public.hide() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN ${HIDE}; RETURN NULL; END';
     CREATE TRIGGER hide AFTER INSERT ON walpost.jobs EXECUTE FUNCTION public.hide()`,
    ...MISSED,
  ]);
  await poll('the replay has failed', async () => (await states(scene)).includes('failed') || undefined);
  const missed = scene.written.slice(-2);
  await scene.take([3]);
  await scene.log.has(scene.written.slice(-3));
  expect(scene.log.missing(missed)).toEqual(missed);
  expect(await scene.database.query(PROVEN, [missed])).toEqual([]);
  if (restarts) await scene.relay[Symbol.asyncDispose]();
  await scene.take(['DROP TRIGGER hide ON walpost.jobs', SHOW]);
  if (restarts) await scene.restart();
  expect((await scene.settled()).dead).toEqual([]);
  await proven(scene);
  expect(await states(scene)).toEqual(['failed', 'done']);
});

test('rows that are hidden and missed at once are read when they are to be seen again', async () => {
  await using scene = await TableScene.set(server.url(), 'walpost', { role: true });
  await scene.take([3]);
  await scene.settled();
  await scene.take([[HIDE, ...MISSED].join('; ')]);
  await scene.says('ROW_SECURITY');
  const live = scene.written.length;
  await scene.take([3]);
  await scene.log.has(scene.written.slice(live));
  await scene.take([SHOW]);
  expect((await scene.settled()).dead).toEqual([]);
  await proven(scene);
  expect(await states(scene)).toEqual(['done']);
});
