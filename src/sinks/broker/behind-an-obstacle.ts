import type { Verdict } from '../../pipeline.ts';
import type { Obstacle } from '../one-by-one.ts';

/** The verdict for events behind one that was not delivered: the same reason and wait, and no attempt is counted. */
export function behindObstacle({ reason, code, retryAfter }: Obstacle): Verdict {
  return {
    kind: 'unavailable',
    reason: `not attempted, behind an event of the same organization: ${reason}`,
    ...(code !== undefined && { code }),
    ...(retryAfter !== undefined && { retryAfter }),
  };
}
