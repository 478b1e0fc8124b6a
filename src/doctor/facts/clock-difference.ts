import type { Clock } from '../../clock.ts';
import { ask, type Queryable } from '../../postgres/queryable.ts';

export interface ClockDifference {
  /** Seconds by which the server is ahead of this machine. */
  readonly seconds: number;
  /** Half of the time that the question took: the difference is no more exact than that. */
  readonly uncertainty: number;
}

const QUESTIONS = 3;

/** The answer that came back soonest is the most exact one. */
export async function readClockDifference(db: Queryable, clock: Pick<Clock, 'wallTime'>): Promise<ClockDifference> {
  const answers: ClockDifference[] = [];
  for (let asked = 0; asked < QUESTIONS; asked += 1) {
    const before = clock.wallTime();
    const [row] = await ask<{ now: number }>(db, 'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now');
    const after = clock.wallTime();
    const seconds = ((row?.now ?? 0) - (before + after) / 2) / 1000;
    answers.push({ seconds, uncertainty: (after - before) / 2000 });
  }
  const [best] = answers.toSorted((a, b) => a.uncertainty - b.uncertainty);
  if (!best) throw new Error('no answer');
  return best;
}
