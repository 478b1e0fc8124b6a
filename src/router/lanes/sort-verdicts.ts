import type { Event } from '../../event.ts';
import type { Verdict, Verdicts } from '../../pipeline.ts';

/** A verdict that leaves the event undelivered for now. */
export type OpenVerdict = Extract<Verdict, { kind: 'failed' | 'unavailable' }>;

export interface BatchFailure {
  readonly verdict: OpenVerdict;
  /** How many events that one answer was about. */
  readonly size: number;
  /** Events at the front that were refused while an event behind them, in the same batch, was accepted. */
  readonly refusedBeforeAccepted: number;
}

export interface SortedVerdicts {
  readonly delivered: readonly Event[];
  readonly rejected: readonly { readonly event: Event; readonly verdict: Verdict }[];
  /** How many of them stood in front of the rest. */
  readonly rejectedFirst: number;
  /** Failed or unavailable, in order. */
  readonly rest: readonly Event[];
  /** What happened to the first of the rest; undefined when that was not sent, for want of time. */
  readonly failure: BatchFailure | undefined;
}

/** Sorts a batch by what is to be done with each event. */
export function sortVerdicts(events: readonly Event[], verdicts: Verdicts): SortedVerdicts {
  const each = Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : undefined;
  const delivered: Event[] = [];
  const rejected: { event: Event; verdict: Verdict }[] = [];
  const rest: Event[] = [];
  let first: OpenVerdict | undefined;
  let rejectedFirst = 0;
  let refused = 0;
  let refusedBeforeAccepted = 0;
  events.forEach((event, index) => {
    const verdict = each ? each[index] : (verdicts as Verdict);
    if (verdict?.kind === 'delivered') {
      delivered.push(event);
      refusedBeforeAccepted = refused;
    } else if (verdict?.kind === 'rejected') {
      rejected.push({ event, verdict });
      if (rest.length === 0) rejectedFirst += 1;
    } else {
      if (verdict?.kind === 'failed' && refused === rest.length) refused += 1;
      rest.push(event);
      first ??= verdict ?? { kind: 'unavailable', reason: 'the sink gave no answer for this event' };
    }
  });
  return {
    delivered,
    rejected,
    rejectedFirst,
    rest,
    failure:
      first && !isUnsent(first) ? { verdict: first, size: each ? 1 : rest.length, refusedBeforeAccepted } : undefined,
  };
}

function isUnsent(verdict: OpenVerdict): boolean {
  return verdict.kind === 'unavailable' && verdict.unsent === true;
}
