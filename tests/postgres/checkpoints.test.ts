import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import { createPgoutputDecoder } from '../../src/decoder/pgoutput.ts';
import { pgoutputOptions } from '../../src/decoder/start-options.ts';
import { LSN_ZERO, type Lsn, parseLsn } from '../../src/lsn.ts';
import { CheckpointKeeper } from '../../src/postgres/cursor/checkpoint-keeper.ts';
import {
  firstXidAfter,
  lastSettledBefore,
  newestSettled,
  oldestSettled,
} from '../../src/postgres/cursor/checkpoint-lookup.ts';
import { CheckpointStore } from '../../src/postgres/cursor/checkpoints.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { parseSnapshot, seesXid } from '../../src/postgres/snapshot.ts';
import { lookAtSource } from '../../src/postgres/source/completeness.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createDecodedSlot } from '../support/decoded-slot.ts';
import { startServer } from '../support/server.ts';
import { beginPlain } from '../support/plain-origin.ts';

const SLOT = 'checkpoints';
const SOURCE = { publication: 'walpost', table: 'walpost.outbox' };
let database: TestDatabase;
let pool: pg.Pool;
let cursor: CursorStore;
let store: CheckpointStore;

beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 3 });
  cursor = await claim();
  store = new CheckpointStore(pool, cursor);
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

async function claim(): Promise<CursorStore> {
  const [{ systemIdentifier } = { systemIdentifier: '' }] = await database.query<{ systemIdentifier: string }>(
    'SELECT system_identifier::text AS "systemIdentifier" FROM pg_control_system()',
  );
  return whole(pool, await CursorStore.claim(pool, { slot: SLOT, systemIdentifier, timeline: 1 }));
}

/** Its stream lacks nothing, so checkpoints may be taken. */
async function whole(db: pg.Pool, of: CursorStore): Promise<CursorStore> {
  await of.adoptSource((await lookAtSource(db, of, SOURCE)).present);
  return of;
}

async function take(from = store): Promise<Lsn> {
  const lsn = await from.takeOf(SOURCE);
  if (lsn === undefined) throw new Error('no checkpoint was taken');
  return lsn;
}

async function walEnd(): Promise<Lsn> {
  const [row] = await database.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return parseLsn(row?.lsn ?? '') ?? LSN_ZERO;
}

const INSERT = `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES (gen_random_uuid(), $1, '1')`;
const publish = (name: string, db: { query(text: string, values: string[]): unknown } = database) =>
  db.query(INSERT, [name]);

/** Names of the events whose rows are proven. */
async function proven(): Promise<string[]> {
  const rows = await database.query<{ event_type: string }>(
    'SELECT event_type FROM walpost.outbox WHERE walpost.is_proven(created_xid) ORDER BY seq',
  );
  return rows.map(({ event_type }) => event_type);
}

const scope = async () => ({ slot: SLOT, systemIdentifier: (await cursor.read())?.systemIdentifier ?? '' });

test('a row is proven once a checkpoint that sees it is settled, and not before', async () => {
  await publish('one');
  const lsn = await take();
  await publish('two');
  expect(await proven()).toEqual([]);
  await store.settle(lsn - 1n);
  expect(await proven()).toEqual([]);
  await store.settle(lsn);
  expect(await proven()).toEqual(['one']);
});

test('a transaction that is open anywhere in the cluster unproves its own row and no other', async () => {
  const open = await database.client();
  await open.query('BEGIN');
  await publish('open', open);
  await using other = await createTestDatabase(); // transaction ids are those of the cluster
  const foreign = await other.client();
  await foreign.query('BEGIN');
  await foreign.query('SELECT pg_current_xact_id()');
  for (let n = 0; n < 200; n++) await publish('settled');
  await store.settle(await take());
  expect(await proven()).toEqual(Array(200).fill('settled'));
  const [xmin] = await database.query(
    `SELECT count(*)::integer AS proven FROM walpost.outbox, walpost_internal.proven_snapshot($1) AS s WHERE created_xid < pg_snapshot_xmin(s)`,
    [SLOT],
  );
  expect(xmin).toEqual({ proven: 0 }); // what the snapshot's xmin alone would say
  await open.query('COMMIT');
  expect(await proven()).not.toContain('open');
  await foreign.query('ROLLBACK');
  await store.settle(await take());
  expect(await proven()).toContain('open');
});

test('everything that the snapshot sees was committed before its position', async () => {
  const slot = await createDecodedSlot(database, {
    plugin: 'pgoutput',
    options: pgoutputOptions({ publication: 'walpost' }),
  });
  const writers = await Promise.all([database.client(), database.client(), database.client()]);
  let writing = true;
  const work = writers.map(async (client) => {
    while (writing) await publish('busy', client);
  });
  for (let n = 0; n < 50; n++) await take();
  writing = false;
  await Promise.all(work);
  const decoder = createPgoutputDecoder({
    mapping: columnMapping({ preset: 'walpost', columns: {} }),
    table: 'walpost.outbox',
    beginTransaction: beginPlain,
  });
  const steps = await slot.steps(decoder);
  const begun = steps.flatMap((step) => (step.kind === 'begin' ? [step.origin] : []));
  const checkpoints = await database.query<{ lsn: string; snapshot: string }>(
    'SELECT lsn::text, snapshot::text FROM walpost.checkpoints',
  );
  let [seen, unseen] = [0, 0];
  for (const { lsn, snapshot } of checkpoints) {
    const parsed = parseSnapshot(snapshot);
    for (const { xid, commitLsn } of begun) {
      if (!seesXid(parsed, xid ?? 0)) unseen += 1;
      else {
        expect(commitLsn).toBeLessThan(parseLsn(lsn) ?? 0n);
        seen += 1;
      }
    }
  }
  expect([seen > 100, unseen > 100]).toEqual([true, true]);
});

test('a prepared transaction that nobody ends unproves nothing but its own row', async () => {
  await using server = await startServer('17', { settings: { max_prepared_transactions: '2' } });
  await using prepared = await createTestDatabase({ server: server.url() });
  const elsewhere = createPool(prepared.url, { applicationName: 'test', max: 2 });
  try {
    const claimed = await CursorStore.claim(elsewhere, {
      slot: SLOT,
      systemIdentifier:
        (await prepared.query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()'))[0]
          ?.id ?? '',
      timeline: 1,
    });
    await prepared.query(
      `BEGIN; INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES (gen_random_uuid(), 'prepared', '1')`,
    );
    await prepared.query("PREPARE TRANSACTION 'forgotten'");
    for (let n = 0; n < 20; n++) await publish('settled', prepared);
    const checkpoints = new CheckpointStore(elsewhere, await whole(elsewhere, claimed));
    await checkpoints.settle(await take(checkpoints));
    const count = () =>
      prepared.query('SELECT count(*)::integer AS n FROM walpost.outbox WHERE walpost.is_proven(created_xid)');
    expect(await count()).toEqual([{ n: 20 }]);
    await prepared.query("COMMIT PREPARED 'forgotten'");
    expect(await count()).toEqual([{ n: 20 }]);
    await checkpoints.settle(await take(checkpoints));
    expect(await count()).toEqual([{ n: 21 }]);
  } finally {
    await elsewhere.end();
  }
});

test('while a healing is open nothing new is proven', async () => {
  await publish('one');
  await store.settle(await take());
  await database.query("INSERT INTO walpost.jobs (slot, kind, state) VALUES ($1, 'heal', 'running')", [SLOT]);
  await publish('two');
  await store.settle(await take());
  expect(await proven()).toEqual(['one']);
  await database.query("UPDATE walpost.jobs SET state = 'done', ended_at = now()");
  await store.settle(await walEnd());
  expect(await proven()).toEqual(['one', 'two']);
});

test('in another cluster nothing is proven, nor without a cursor, nor for a slot that lags behind', async () => {
  await publish('one');
  await store.settle(await take());
  expect(await proven()).toEqual(['one']);
  const other = await CursorStore.claim(pool, { slot: 'other', systemIdentifier: '1', timeline: 1 });
  expect(await proven()).toEqual([]);
  await database.query("DELETE FROM walpost.cursor WHERE slot = 'other'");
  await expect(other.advance(1n)).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
  expect(await proven()).toEqual(['one']);
  await database.query("UPDATE walpost.cursor SET system_identifier = '12345'");
  expect(await proven()).toEqual([]);
  await database.query("UPDATE walpost.checkpoints SET system_identifier = '12345'");
  expect(await proven()).toEqual([]);
  await database.query('DELETE FROM walpost.cursor');
  expect(await proven()).toEqual([]);
});

test('a role that may read cursor and checkpoints may ask what is proven', async () => {
  await publish('one');
  await store.settle(await take());
  const role = `r_${database.name}`;
  await database.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA walpost, walpost_internal TO ${role}`);
  try {
    await database.query(`GRANT SELECT ON walpost.cursor, walpost.checkpoints TO ${role}`);
    await database.query(`GRANT EXECUTE ON FUNCTION walpost.is_proven, walpost_internal.proven_snapshot TO ${role}`);
    await database.query(`SET ROLE ${role}`);
    expect(await database.query("SELECT walpost.is_proven('4') AS proven")).toEqual([{ proven: true }]);
  } finally {
    await database.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('an owner of the past takes and settles nothing', async () => {
  const lsn = await take();
  const successor = await claim();
  await expect(take()).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
  await expect(store.settle(lsn)).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
  await expect(store.record({ lsn, snapshot: '1:1:' })).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
  expect(await newestSettled(pool, await scope())).toBeUndefined();
  await new CheckpointStore(pool, successor).settle(lsn);
  expect(await newestSettled(pool, await scope())).toMatchObject({ lsn });
});

test('thinning keeps the last hour, one an hour before that, and the newest settled one whatever its age', async () => {
  await database.query(
    `INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, lsn, snapshot, taken_at, settled_at)
     SELECT $1, k.system_identifier, 1, '0/0'::pg_lsn + n, '3:3:', now() - (20000 - n) * interval '1 minute', now()
       FROM generate_series(1, 19999) AS n, walpost.cursor AS k`,
    [SLOT],
  );
  await store.thin();
  const [kept] = await database.query<{ hour: number; week: number; before: number }>(
    `SELECT count(*) FILTER (WHERE taken_at >= now() - interval '1 hour')::integer AS hour,
            count(*) FILTER (WHERE taken_at < now() - interval '1 hour' AND taken_at >= now() - interval '8 days')::integer AS week,
            count(*) FILTER (WHERE taken_at < now() - interval '8 days')::integer AS before
       FROM walpost.checkpoints`,
  );
  expect(kept?.hour).toBeGreaterThanOrEqual(59);
  expect(kept?.week).toBeGreaterThanOrEqual(190);
  expect(kept?.week).toBeLessThanOrEqual(193);
  expect(kept?.before).toBe(0);
  await database.query("UPDATE walpost.checkpoints SET taken_at = taken_at - interval '1 month'");
  await store.thin();
  expect(await database.query('SELECT lsn::text FROM walpost.checkpoints')).toEqual([{ lsn: '0/4E1F' }]);
});

test('from a position or a time to a checkpoint', async () => {
  const lsns: Lsn[] = [];
  for (let n = 0; n < 4; n++) {
    await publish(`event ${n}`);
    lsns.push(await take());
  }
  const [first = 0n, second = 0n, third = 0n] = lsns;
  await store.settle(third);
  const here = await scope();
  expect((await oldestSettled(pool, here))?.lsn).toBe(first);
  expect((await newestSettled(pool, here))?.lsn).toBe(third);
  expect((await lastSettledBefore(pool, here, { lsn: second }))?.lsn).toBe(second);
  expect((await lastSettledBefore(pool, here, { lsn: third - 1n }))?.lsn).toBe(second);
  expect(await lastSettledBefore(pool, here, { lsn: first - 1n })).toBeUndefined();
  expect((await lastSettledBefore(pool, here, { lsn: first + (1n << 40n) }))?.lsn).toBe(third);
  const [times] = await database.query<{ second: Date }>(
    'SELECT taken_at AS second FROM walpost.checkpoints ORDER BY lsn OFFSET 1 LIMIT 1',
  );
  const time = new Date((times?.second.getTime() ?? 0) + 1); // Date cuts the microseconds off
  const found = await lastSettledBefore(pool, here, { time });
  expect(found?.lsn).toBeGreaterThanOrEqual(second);
  expect(await lastSettledBefore(pool, here, { time: new Date(0) })).toBeUndefined();
  const after = await firstXidAfter(pool, here, { lsn: second });
  const [xmax] = await database.query<{ xmax: string }>(
    'SELECT pg_snapshot_xmax(snapshot)::text AS xmax FROM walpost.checkpoints ORDER BY lsn OFFSET 2 LIMIT 1',
  );
  expect(after).toBe(xmax?.xmax);
  expect(await firstXidAfter(pool, here, { lsn: lsns[3] ?? 0n })).toBeUndefined();
});

test('when rows leave the outbox, the checkpoints that do not see them leave too, but for the newest settled one', async () => {
  const lsns: Lsn[] = [];
  for (const name of ['one', 'two', 'three', 'four']) {
    lsns.push(await take());
    await publish(name);
  }
  lsns.push(await take());
  const left = async (): Promise<number> => (await database.query('SELECT FROM walpost.checkpoints')).length;
  await store.settle(lsns[3] ?? 0n);
  await database.query("DELETE FROM walpost.outbox WHERE event_type = 'none'");
  expect(await left()).toBe(5);
  await database.query("DELETE FROM walpost.outbox WHERE event_type IN ('one', 'two')");
  expect((await oldestSettled(pool, await scope()))?.lsn).toBe(lsns[2]);
  expect(await left()).toBe(3);
  await database.query("DELETE FROM walpost.outbox WHERE event_type = 'four'");
  expect((await newestSettled(pool, await scope()))?.lsn).toBe(lsns[3]);
  expect(await left()).toBe(2);
  await database.query('TRUNCATE walpost.outbox');
  expect(await left()).toBe(1);
});

test('the keeper takes one while events flow, settles it as the watermark passes, and then rests', async () => {
  let watermark = LSN_ZERO;
  const keeper = new CheckpointKeeper({ store, take: () => take(), watermark: () => watermark });
  const state = async () =>
    (
      await database.query<{ taken: number; settled: number }>(
        'SELECT count(*)::integer AS taken, count(settled_at)::integer AS settled FROM walpost.checkpoints',
      )
    )[0];
  await keeper.round();
  expect(await state()).toEqual({ taken: 0, settled: 0 });
  keeper.received();
  watermark = await walEnd();
  await keeper.round();
  expect(await state()).toEqual({ taken: 1, settled: 0 });
  await keeper.round(); // the watermark is still before its position
  expect(await state()).toEqual({ taken: 1, settled: 0 });
  await publish('moves the WAL on');
  watermark = await walEnd();
  await keeper.round();
  expect(await state()).toEqual({ taken: 1, settled: 1 });
  const resting = await walEnd();
  watermark = resting + 1000n;
  await keeper.round();
  await keeper.round();
  expect(await state()).toEqual({ taken: 1, settled: 1 });
});
