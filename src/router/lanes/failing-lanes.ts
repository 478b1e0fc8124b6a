/** Lanes whose first event was not accepted, as walpost.lanes shows them. */
import type { FailingLane } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import { nameOfLane } from './lane-name.ts';
import type { PausedLanes } from './pausing.ts';

/** A lane that is paused does not fail, whatever it did before. */
export function* failingLanes(sink: string, lanes: Iterable<Lane>, paused: PausedLanes): Generator<FailingLane> {
  for (const lane of lanes) {
    const { failure, phase, backsOffUntil, lastFailure } = lane;
    if (!failure || paused.has(lane.organizationId, lane.name)) continue;
    const attempts = Math.max(failure.outages + failure.failures, failure.loneRefusals);
    if (attempts === 0) continue;
    yield {
      ...nameOfLane(sink, lane),
      state: lane.refuses ? 'refusing' : 'failing',
      since: failure.since,
      attempts,
      reason: lastFailure?.reason ?? '',
      code: lastFailure?.code ?? null,
      answer: lastFailure?.answer ?? null,
      nextTryAt: phase === 'backing_off' ? backsOffUntil : null,
    };
  }
}
