/** wal2json cannot read a partitioned table: nothing is lost on the way from one to pgoutput, in whatever order it comes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { WalpostError } from '../../src/errors.ts';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { poll } from '../support/slot-session.ts';
import { TableScene } from './table-scene.ts';

const noDebian = await debianPostgresMissing();

describe.skipIf(noDebian !== undefined)(`wal2json${noDebian ? `: ${noDebian}` : ''}`, () => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startDebianPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** The statement that the remedy, or the hint, names. */
  const dropSlot = (text: string): string =>
    `SELECT ${/pg_drop_replication_slot\('[a-z0-9_]+'\)/.exec(text)?.[0] ?? ''}`;

  const isFree = (scene: TableScene): Promise<unknown> =>
    poll('the slot is free', async () => {
      const rows = await scene.database.query(
        'SELECT FROM pg_replication_slots WHERE active AND database = current_database()',
      );
      return rows.length === 0 || undefined;
    });

  test('a mapped table that is swapped for a partitioned one ends the relay; following the remedy loses nothing', async () => {
    await using scene = await TableScene.set(server.url(), 'mapped', { source: { plugin: 'wal2json' } });
    await scene.take([3]);
    await scene.settled();
    await scene.take([
      `BEGIN; ALTER TABLE shop.outbox RENAME TO before;
       CREATE TABLE shop.outbox (LIKE shop.before INCLUDING ALL) PARTITION BY RANGE (made);
       CREATE TABLE shop.days PARTITION OF shop.outbox DEFAULT;
       ALTER PUBLICATION shop SET TABLE shop.outbox;
       ALTER PUBLICATION shop SET (publish_via_partition_root = true); COMMIT`,
      3,
    ]);
    const error: WalpostError = await scene.stops();
    expect(error).toMatchObject({ code: 'PLUGIN_PARTITIONS', policy: 'operator' });
    await expect(scene.restart()).rejects.toMatchObject({ code: 'PLUGIN_PARTITIONS' });
    await isFree(scene);
    await scene.take([2, dropSlot(error.remedy), 1]);
    await scene.restart({ plugin: 'pgoutput' });
    await scene.take([2]);
    expect((await scene.settled()).dead).toEqual([]);
  });

  test('partition_outbox refuses while such a slot reads the outbox; following its hint loses nothing', async () => {
    await using scene = await TableScene.set(server.url(), 'walpost', { source: { plugin: 'wal2json' } });
    await scene.take([3]);
    await scene.settled();
    const refusal = (await scene
      .take(['SELECT walpost.partition_outbox()'])
      .catch((error: unknown) => error)) as Error & {
      hint: string;
    };
    expect(refusal).toMatchObject({ code: '55000' });
    expect(refusal.message).toContain('wal2json');
    await scene.relay.stop();
    await scene.take([2, dropSlot(refusal.hint), 1]);
    await scene.restart({ plugin: 'pgoutput' });
    await scene.take([1, 'SELECT walpost.partition_outbox()', 2]);
    expect((await scene.settled()).dead).toEqual([]);
  });

  test('a mapped column that is generated and stored is sent', async () => {
    await using scene = await TableScene.set(server.url(), 'mapped', { source: { plugin: 'wal2json' } });
    await scene.take([
      2,
      'ALTER TABLE {table} DROP COLUMN body, ADD COLUMN body text GENERATED ALWAYS AS (note) STORED',
      { payload: 'note' },
      2,
    ]);
    expect(await scene.settled()).toEqual({ repeated: 0, undone: 0, dead: [] });
    await scene.restart();
    await scene.take([1]);
    expect((await scene.settled()).dead).toEqual([]);
  });

  test('a table that is partitioned from the start is refused at the first start', async () => {
    await expect(
      TableScene.set(server.url(), 'mapped partitioned', { source: { plugin: 'wal2json' } }),
    ).rejects.toMatchObject({
      code: 'PLUGIN_PARTITIONS',
    });
  });
});
