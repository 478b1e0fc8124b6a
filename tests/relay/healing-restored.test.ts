/** Rows of another cluster that were loaded while nobody led, and then the slot was lost: healed in their place, or named. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { RelayInProcess } from '../support/relay-in-process.ts';
import { HealingScene } from './healing-scene.ts';
import { mappedSource } from '../support/mapped-source.ts';

const TIMEOUT = { timeout: 90_000 };
const MAPPED = mappedSource();

const idsOf = (rows: readonly unknown[]): string[] => (rows as { id: string }[]).map(({ id }) => id);

test(
  'rows of another cluster that were loaded before the slot was lost come before what was written later',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set();
    const [organization = ''] = scene.organizations;
    const relay = await scene.start();
    const before = await scene.publish(3);
    await scene.log.has(before);
    await scene.proven(before);
    await relay.stop();
    const published = async (): Promise<string[]> =>
      idsOf(await scene.query(`SELECT walpost.publish('${organization}', 'late', '{}')::text AS id`));
    const ids = await published();
    ids.push(
      ...idsOf(
        await scene.query(
          `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_xid, seq) OVERRIDING SYSTEM VALUE
         SELECT '${organization}', 'old', '{}', (5000000000 + n)::text::xid8, 40 + n FROM generate_series(1, 4) AS n
         RETURNING event_id::text AS id`,
        ),
      ),
      ...(await published()),
    );
    await scene.dropSlot();
    scene.log.clear();
    const healed = await scene.start();
    await scene.log.has(ids);
    const first = new Set(scene.log.events.map(({ event_id }) => event_id).filter((id) => ids.includes(id)));
    expect([...first]).toEqual(ids);
    expect(await scene.jobs()).toMatchObject([{ state: 'done', from_lsn: expect.any(String) as string }]);
    await scene.proven([]);
    await healed.stop();
    const left = `SELECT FROM unnest('{${ids.join(',')}}'::uuid[]) AS id WHERE walpost.event_status(id) <> 'delivered'`;
    expect(await scene.query(left)).toEqual([]);
  },
);

test(
  'in a mapped table they are sent and named at the start and by a heal, until the remedy is carried out',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set();
    await scene.query(
      `CREATE SCHEMA shop; CREATE TABLE shop.outbox (id uuid, org uuid, kind text, body json,
       created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY)`,
    );
    const insert = async (columns = '', values = ''): Promise<string[]> =>
      idsOf(
        await scene.query(
          `INSERT INTO shop.outbox (id, org, kind, body ${columns})
         SELECT gen_random_uuid(), '${randomUUID()}', 'thing.made', '{}' ${values} FROM generate_series(1, 2) RETURNING id::text`,
        ),
      );
    const loaded = (): Promise<string[]> => insert(', created_xid', `, '5000000000'`);
    const remedies = (relay: RelayInProcess): string[] =>
      relay.lines
        .map((line) => JSON.parse(line) as { code?: string; remedy?: string })
        .flatMap(({ code, remedy = '' }) => (code === 'RESTORED_ROWS' ? [remedy] : []));

    const ids = await loaded();
    const relay = await scene.start({ source: { ...MAPPED, existing: 'deliver' } });
    await scene.log.has(ids);
    expect(remedies(relay)).toHaveLength(1);
    await relay.stop();

    ids.push(...(await loaded()), ...(await insert()));
    await scene.dropSlot();
    const healed = await scene.start({ source: MAPPED });
    await scene.log.has(ids);
    const told = remedies(healed);
    expect(told).toEqual([expect.stringMatching(/UPDATE .*;/)]);
    await healed.stop();

    await scene.query(/UPDATE .*;/.exec(told[0] ?? '')?.[0] ?? '');
    ids.push(...(await insert()));
    await scene.dropSlot();
    await using last = await scene.start({ source: MAPPED });
    await scene.log.has(ids);
    expect(remedies(last)).toEqual([]);
    expect((await scene.jobs()).map(({ state, from_lsn }) => [state, from_lsn !== null])).toEqual([
      ['done', false],
      ['done', true],
      ['done', true],
    ]);
  },
);
