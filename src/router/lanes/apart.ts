/**
 * `order: none`: an event that fails alone leaves the lane of its organization. It goes on in a lane of its own, whose name is
 * its id: it backs off, is parked and becomes a dead letter there, and those behind it go on at once.
 *
 * Two bounds keep a destination that refuses everything from making a lane of each event, tried again and again: only so many
 * leave while the sink accepts nothing, and only so many of one organization are apart at a time. Beyond, the first event
 * holds up its lane, as with `order: organization`, and the events behind it tell whose fault it is (failure-policy.ts).
 *
 * After a restart what is parked is in its lane again. What was only in memory comes from the slot into the organization's.
 */
import type { Event } from '../../event.ts';
import { OWN_LANE } from '../../pipeline.ts';
import type { FailureState } from './failure-policy.ts';
import type { Lane } from './lane.ts';
import type { LaneMap } from './lane-map.ts';
import type { LaneParking } from './parking.ts';
import type { BatchFailure } from './sort-verdicts.ts';

const MOST_WITHOUT_SUCCESS = 16;
const MOST_OF_ORGANIZATION = 1_000;

export interface EventsApartOptions {
  readonly lanes: LaneMap<Lane>;
  readonly parking: Pick<LaneParking, 'move'>;
  readonly quickRetries: number;
  readonly laneOf: (organizationId: string, name: string) => Lane;
  readonly add: (lane: Lane, event: Event) => void;
}

export class EventsApart {
  private readonly options: EventsApartOptions;
  /** Events that have left since the sink accepted anything, and what it had accepted in all then. */
  private left = 0;
  private acceptedBefore = 0;

  constructor(options: EventsApartOptions) {
    this.options = options;
  }

  /** The lane that the event has already: it comes again after a restart, or a job sends it too. */
  nameFor({ organizationId, eventId }: Event): string {
    return this.options.lanes.get(organizationId, eventId) ? eventId : OWN_LANE;
  }

  /** It is the lane of one event. */
  has(lane: Lane): boolean {
    return lane.name !== OWN_LANE;
  }

  /** Whether the first event is to leave; `accepted` is what the sink has accepted in all. */
  mayLeave(
    lane: Lane,
    cause: BatchFailure,
    after: { readonly failure: FailureState; readonly accepted: number },
  ): boolean {
    if (lane.name !== OWN_LANE || cause.size !== 1 || lane.failure?.probing) return false;
    if (!isOfEvent(cause, after.failure, this.options.quickRetries)) return false;
    if (this.options.lanes.othersOf(lane.organizationId) >= MOST_OF_ORGANIZATION) return false;
    return after.accepted > this.acceptedBefore || this.left < MOST_WITHOUT_SUCCESS;
  }

  /** Moves the first event; gives back its lane, or undefined when that was there before and goes on as it was. */
  leave(lane: Lane, accepted: number): Lane | undefined {
    const { lanes, parking, laneOf, add } = this.options;
    const [event] = lane.take({ maxEvents: 1, maxBytes: Infinity });
    if (!event) return undefined;
    this.left = accepted > this.acceptedBefore ? 1 : this.left + 1;
    this.acceptedBefore = accepted;
    const isNew = lanes.get(lane.organizationId, event.eventId) === undefined;
    const own = laneOf(lane.organizationId, event.eventId);
    if (event.parkedId !== null) parking.move(event, { from: lane, to: own });
    else if (isNew) own.push(event);
    else add(own, event);
    return isNew ? own : undefined;
  }
}

/** An error of the destination's own (5xx) has to come again first. */
function isOfEvent({ verdict }: BatchFailure, { outages }: FailureState, quickRetries: number): boolean {
  return verdict.kind === 'failed' || (verdict.answered === true && outages > quickRetries);
}
