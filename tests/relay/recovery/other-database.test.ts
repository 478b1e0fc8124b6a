/** source.slot names the slot of another database: refused, and whatever of the remedy is followed, nothing is lost. */
import { expect, test } from 'vitest';
import { poll } from '../../support/slot-session.ts';
import { HealingScene } from '../healing-scene.ts';

const TIMEOUT = { timeout: 90_000 };
const PARKS = { delivery: { park_after: '100ms', quick_retries: 0 } };

/** An event that is parked, and some that nobody has read. */
async function leaveBehind(scene: HealingScene): Promise<string[]> {
  const take = scene.log.receiver.onBatch;
  scene.log.receiver.onBatch = () => 503;
  const relay = await scene.start({ config: PARKS });
  const ids = await scene.publish(1);
  await poll('it is parked', async () => (await scene.query('SELECT FROM walpost.parked')).length > 0 || undefined);
  await relay.stop();
  scene.log.receiver.onBatch = take;
  return [...ids, ...(await scene.publish(3))];
}

test.each([
  ['first', 'no name', (): object => ({ slot: undefined })],
  ['first', 'another name', (slot: string): object => ({ slot: `${slot}_b` })],
  ['later', 'no name', (): object => ({ slot: undefined })],
  ['later', 'another name', (slot: string): object => ({ slot: `${slot}_b`, takes_over: slot })],
])(
  'at a %s start the remedy loses nothing and leaves the other slot alone: %s',
  TIMEOUT,
  async (when, _name, remedy) => {
    await using other = await HealingScene.set();
    await using scene = await HealingScene.set();
    const theirs = await leaveBehind(other);
    const ids = when === 'first' ? await scene.publish(3) : await leaveBehind(scene);
    const slot = other.database.slotName;
    const source = when === 'first' ? { slot } : { slot, takes_over: scene.database.slotName };
    await expect(scene.start({ source })).rejects.toMatchObject({
      code: 'SLOT_OTHER_DATABASE',
      policy: 'operator',
      remedy: expect.stringContaining('another name in source.slot, or leave it out: nothing is lost') as string,
    });
    await using _relay = await scene.start({ source: remedy(scene.database.slotName) });
    await scene.log.has([...ids, ...(await scene.publish(1))]);
    expect(scene.log.ids.size).toBe(ids.length + 1);
    await using _other = await other.start();
    await other.log.has(theirs);
    expect(await other.jobs()).toEqual([]);
  },
);

test('a slot that another database has taken meanwhile is alerted, and its remedy loses nothing', TIMEOUT, async () => {
  await using other = await HealingScene.set();
  await using scene = await HealingScene.set();
  const ids = await leaveBehind(scene);
  const slot = scene.database.slotName;
  await scene.dropSlot();
  await other.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  expect(
    await scene.query(`SELECT name, severity, subject, remedy FROM walpost.alerts WHERE name LIKE 'slot_%'`),
  ).toEqual([
    {
      name: 'slot_other_database',
      severity: 'critical',
      subject: slot,
      remedy: 'Give this relay a slot of its own in source.slot.',
    },
  ]);
  const source = { slot: `${slot}_b` };
  await expect(scene.start({ source })).rejects.toMatchObject({ code: 'COPIED_DATABASE' });
  await using _relay = await scene.start({ source: { ...source, existing: 'deliver' } });
  await scene.log.has([...ids, ...(await scene.publish(1))]);
  expect(await scene.query(`SELECT FROM walpost.alerts WHERE name LIKE 'slot_%'`)).toEqual([]);
});
