import type { LaneName } from '../../pipeline.ts';
import type { Probing } from './probe-policy.ts';

/** A lane whose destination answers, and refuses everything that it is sent. It waits, and nothing of it is given up. */
export interface Refusal extends LaneName {
  /** Since when, in milliseconds on the clock's `now`. */
  readonly since: number;
  /** Events that were refused alone, and the first of them. */
  readonly events: number;
  readonly eventIds: readonly string[];
  readonly types: number;
  /** Why the first of them was last refused. */
  readonly reason: string;
}

export function refusalOf(lane: LaneName, { refused, eventIds, refusingSince, types, reason }: Probing): Refusal {
  return {
    ...lane,
    since: refusingSince ?? 0,
    events: refused.size,
    eventIds,
    types: types.size,
    reason,
  };
}
