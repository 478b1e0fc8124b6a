/**
 * One request for each event of a batch, one after the other.
 *
 * After the first event that was not accepted the rest is not sent, because it would overtake. An event that can never be
 * sent stops nothing. When no time is left for another whole request, none is begun: one that is cut off may have been
 * accepted all the same, and would be sent again.
 */
import type { Event } from '../event.ts';
import type { AttemptTime, Verdict } from '../pipeline.ts';

/** The destination was not asked. */
export const NO_TIME: Verdict = { kind: 'unavailable', reason: 'not sent: no time was left for it', unsent: true };

export interface OneByOneOptions {
  readonly time: AttemptTime | undefined;
  readonly send: (event: Event) => Promise<Verdict>;
  /** The verdict for the events behind one that was not accepted. */
  readonly behind: (obstacle: Obstacle) => Verdict;
}

export type Obstacle = Extract<Verdict, { kind: 'failed' | 'unavailable' }>;

export async function oneByOne(events: readonly Event[], options: OneByOneOptions): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let rest: Verdict | undefined;
  for (const event of events) {
    if (!rest && options.time?.beginRequest() === false) rest = NO_TIME;
    const verdict = rest ?? (await options.send(event));
    verdicts.push(verdict);
    if (!rest && (verdict.kind === 'failed' || verdict.kind === 'unavailable')) rest = options.behind(verdict);
  }
  return verdicts;
}
