import { expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import { createLog } from '../../src/observe/log.ts';
import { type Chore, startChores } from '../../src/relay/chores.ts';
import { fastClock } from '../support/fast-clock.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { poll } from '../support/slot-session.ts';
import { HealingScene } from './healing-scene.ts';

const log = createLog({ level: 'silent' });
const turns = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await Promise.resolve();
};

async function at(chore: Omit<Chore, 'name' | 'run'>, until: number): Promise<number[]> {
  const clock = new ManualClock();
  const runs: number[] = [];
  const begun = clock.now();
  const run = async (): Promise<void> => void runs.push(clock.now() - begun);
  await using _chores = startChores([{ name: 'it', ...chore, run }], { clock, log, onFatal: () => undefined });
  for (let now = 0; now < until; now += 1_000) {
    await clock.advance(1_000);
    await turns();
  }
  return runs;
}

test('a chore runs after its interval, again and again', async () => {
  expect(await at({ every: 10_000 }, 35_000)).toEqual([10_000, 20_000, 30_000]);
});

test('a chore may run for the first time sooner', async () => {
  expect(await at({ first: 5_000, every: 20_000 }, 50_000)).toEqual([5_000, 25_000, 45_000]);
});

test('an error that only a person can help with ends the relay, and others do not end the chore', async () => {
  const clock = new ManualClock();
  const fatal: unknown[] = [];
  const errors = [new WalpostError('CONNECTION_LOST'), new Error('odd'), new WalpostError('SOURCE_UNLOGGED')];
  const run = async (): Promise<void> => {
    const error = errors.shift();
    if (error) throw error;
  };
  await using _chores = startChores([{ name: 'it', every: 1_000, run }], {
    clock,
    log,
    onFatal: (e) => fatal.push(e.code),
  });
  for (let n = 0; n < 6; n++) {
    await clock.advance(1_000);
    await turns();
  }
  expect([errors.length, fatal]).toEqual([0, ['SOURCE_UNLOGGED']]);
});

test('what is wrong with the roles is warned of when the stream runs already', async () => {
  await using scene = await HealingScene.set();
  await scene.database.query('GRANT DELETE ON walpost.outbox TO walpost_publisher');
  await using relay = await scene.start({ clock: fastClock(10) });
  const at = (text: string) => relay.lines.findIndex((line) => line.includes(text));
  await poll('it warns', async () => at('not in the role model') >= 0 || undefined);
  expect(at('streaming from')).toBeLessThan(at('not in the role model'));
});
