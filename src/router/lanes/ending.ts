/**
 * Lanes that end: a customer's endpoint was disabled or removed.
 *
 * Where the lane delivers, what it holds in memory was committed before the end and is still sent. Where it fails, is paused or
 * is parked, what it holds is for nobody: it settles unsent, and its rows go. A lane that is over takes no part in anything any
 * more; when its name gets an event again, that opens another lane.
 */
import type { Lsn } from '../../lsn.ts';
import type { LaneName, ParkingLot } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import { nameOfLane } from './lane-name.ts';
import type { LaneResults } from './results.ts';
import type { SinkAccounts } from './sink-accounts.ts';

export interface LaneEndingOptions {
  readonly sink: string;
  readonly lot: ParkingLot;
  readonly accounts: SinkAccounts;
  readonly results: Pick<LaneResults, 'forgetFailure'>;
}

/** Everything that belongs to the lane and was committed before `at` is over; `dropped` once its rows are gone. */
export function endLane(
  lane: Lane | undefined,
  name: LaneName,
  given: { readonly at: Lsn; readonly dropped: () => void },
  options: LaneEndingOptions,
): void {
  const delivers = lane && !lane.parked && !lane.failure && !lane.paused && !lane.blocked;
  if (delivers) {
    lane.finishBy(given.at);
    return given.dropped();
  }
  if (lane) return dropLane(lane, given, options);
  options.lot.discard(name, given.at, given.dropped);
}

/** The lane is over: whoever keeps it forgets it. */
export function dropLane(
  lane: Lane,
  { at, dropped }: { readonly at: Lsn; readonly dropped: () => void },
  { sink, lot, accounts, results }: LaneEndingOptions,
): void {
  const waiting = [...lane.takeAll(), ...(lane.parked?.takeIncoming() ?? [])];
  results.forgetFailure(lane);
  lane.end();
  accounts.dropped(waiting);
  lot.discard(nameOfLane(sink, lane), at, dropped);
}
