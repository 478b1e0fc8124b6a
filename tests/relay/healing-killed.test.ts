import { expect, test } from 'vitest';
import { parseLsn } from '../../src/lsn.ts';
import { startServer } from '../support/server.ts';
import { HealingRounds, type Round, WAYS } from './healing-rounds.ts';

/** Kills that fall into a healing; `npm run evidence:healing` makes 20. */
const ROUNDS = Number(process.env['WALPOST_ROUNDS'] ?? 3);
const SEED = Number(process.env['WALPOST_SEED'] ?? 1);

const lsn = (text: string | null | undefined): bigint => parseLsn(text ?? '') ?? 0n;

test(
  'a healer that is killed at a random moment, each time the slot is lost in another way',
  { timeout: 60_000 + ROUNDS * 40_000 },
  async () => {
    await using server = await startServer('17', { settings: { min_wal_size: '32MB', max_wal_size: '32MB' } });
    await using scene = await HealingRounds.set(server.url(), SEED);
    const rounds: Round[] = [];
    for (let number = 0; within(rounds) < ROUNDS && number < 2 * ROUNDS; number++) {
      rounds.push(await scene.round(WAYS[number % WAYS.length] ?? WAYS[0]));
    }
    const { traffic } = scene;
    await traffic.rest();
    await traffic.settles();
    const jobs = await scene.jobs();
    tell(rounds, traffic.count, traffic.repeated);

    expect(Object.fromEntries(traffic.arrived)).toEqual(Object.fromEntries(traffic.written));
    expect(await scene.deadLetters()).toBe(0);
    expect(jobs).toHaveLength(1 + rounds.length); // the first was measured; the next of a killed one goes on with its job
    for (const { state, from_lsn, report } of jobs) {
      expect({ state, from_lsn }).toEqual({ state: 'done', from_lsn: report?.from_lsn });
      expect(lsn(from_lsn)).toBeGreaterThan(0n);
      expect(lsn(report?.to_lsn)).toBeGreaterThan(lsn(from_lsn));
      expect(report?.events).toBeGreaterThan(0);
    }
    expect(within(rounds)).toBeGreaterThanOrEqual(Math.min(ROUNDS, 2)); // a busy machine may be late now and then
  },
);

function within(rounds: readonly Round[]): number {
  return rounds.filter(({ met }) => met !== 'after the healing').length;
}

function tell(rounds: readonly Round[], events: number, repeated: number): void {
  const lines = rounds.map(
    ({ way, met, after, sent }) => `  ${way}: killed after ${after.toFixed(0)} ms, ${met}, ${sent} events sent`,
  );
  console.log(
    [
      `${within(rounds)} of ${rounds.length} kills within a healing, ${events} events, ${repeated} repeated`,
      ...lines,
    ].join('\n'),
  );
}
