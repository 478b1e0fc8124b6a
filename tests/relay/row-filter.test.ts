/** A publication that chooses rows on purpose: the stream, healing, a replay and the first start bring the same ones. */
import { expect, test } from 'vitest';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { TableScene } from './table-scene.ts';

const OTHER = `INSERT INTO shop.outbox (id, org, kind, topic, body)
  SELECT gen_random_uuid(), gen_random_uuid(), 'not.ours', topic, '{}' FROM (VALUES ('other'), (NULL)) AS v (topic)`;

test.each(['15', '17'] as const)(
  'with row_filter: expected, on Postgres %s',
  async (version) => {
    await using server = await startServer(version);
    await expect(TableScene.set(server.url(), 'mapped filtered')).rejects.toMatchObject({ code: 'PUBLICATION_TABLE' });
    await using scene = await TableScene.set(server.url(), 'mapped filtered', { source: { row_filter: 'expected' } });
    await scene.take([2, OTHER, 1]);
    await scene.settled();
    await scene.relay.stop();
    await scene.take([2, OTHER, 1, `SELECT pg_drop_replication_slot('${scene.database.slotName}')`]);
    await scene.restart();
    await scene.take([1]);
    expect((await scene.settled()).dead).toEqual([]);
    await poll('the healing is done', async () => {
      const rows = await scene.database.query(`SELECT FROM walpost.jobs WHERE kind = 'heal' AND state = 'done'`);
      return rows.length > 0 || undefined;
    });
    const arrived = scene.log.events.length;
    await scene.database.query(`INSERT INTO walpost.jobs (slot, kind) SELECT slot, 'replay' FROM walpost.cursor`);
    await poll('the replay is done', async () => {
      const rows = await scene.database.query(`SELECT FROM walpost.jobs WHERE kind = 'replay' AND state = 'done'`);
      return rows.length > 0 || undefined;
    });
    expect(scene.log.events).toHaveLength(arrived + scene.written.length);
    expect(scene.log.events.filter(({ event_id }) => !scene.written.includes(event_id))).toEqual([]);
  },
  90_000,
);
