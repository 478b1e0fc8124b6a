/**
 * Whose fault is it? The decisions after a batch came back, as pure functions: the failure state of a lane goes in, and
 * the next one comes out. Nothing here changes its arguments.
 *
 * `unavailable` is the destination's fault: the lane waits and tries the same events again, for as long as it takes. The one
 * exception is an error answer (5xx) to an event that failed before, while the destination has accepted other events since:
 * it is treated like `failed`. When nothing is accepted for `quickRetries + maxAttempts` waits, and 5xx answers come, the first
 * event is tried alone too, and after each wait one of those behind it.
 *
 * `failed` is an event's own, but of a batch refused as a whole nobody knows which event. So the batch is halved from
 * the front, in order, until the culprit is alone in its batch: a suspect range shrinks as halves are accepted. A destination
 * that has accepted nothing since the failure began is presumed broken after two halvings; from then on only the first event
 * is tried, alone and with the waits of an outage.
 *
 * A lone refusal counts against the event when the destination has accepted something since the event was first refused
 * alone, or when it accepted every other event of the batch that was refused. After `maxAttempts` of them it is a dead letter.
 * While nothing else is accepted nobody can tell, so after `maxAttempts` refusals the events behind it are tried: see
 * probe-policy.ts.
 */
import { beginRound, oneLess, type Probing, triesBefore } from './probe-policy.ts';

export interface FailureState {
  /** When it began, or when the lane last had something accepted, on the clock that never jumps. */
  readonly since: number;
  /** Since when the destination has been unavailable; null when its last answer was about an event. */
  readonly awaySince: number | null;
  /** How many events the sink had accepted in all when it began, and at the last failure. */
  readonly acceptedBefore: number;
  readonly acceptedAtLastFailure: number;
  /** Waits in a row for the destination. */
  readonly outages: number;
  /** Halvings while the destination accepted nothing. */
  readonly splitsWithoutSuccess: number;
  /** The number of events from the front that hold at least one culprit; 0 when nothing is suspected. */
  readonly suspects: number;
  /** Events at the front that remain of a refused batch. All others of that batch were accepted. */
  readonly leftOfRefused: number;
  /** Something was accepted since the first event was first refused alone. */
  readonly acceptedSinceRefused: boolean;
  /** Answers for the first event alone that did not accept it. Here a 5xx counts too; elsewhere it is no refusal. */
  readonly loneRefusals: number;
  /** How many of them count as failures of the event itself. */
  readonly failures: number;
  /** Most events of the next batch. */
  readonly size: number;
  /** The events behind the first are asked; null when they need not be. */
  readonly probing: Probing | null;
}

export interface RetryPolicy {
  readonly quickRetries: number;
  readonly maxAttempts: number;
  /** Milliseconds between own failures, and between passes over the events behind the first; the last repeats. */
  readonly backoff: readonly number[];
  /** Milliseconds after which an event that is not settled is parked. */
  readonly parkAfter: number;
  /** Milliseconds after which an unavailable destination gives up its oldest events; 0 is never. */
  readonly unavailableFor: number;
  /** The longest wait for an unavailable destination, in milliseconds, unless it asks for more. */
  readonly longestWait: number;
}

export interface DeliveryFailure {
  readonly kind: 'failed' | 'unavailable';
  /** The first event that the answer is about. */
  readonly event: { readonly parkedId: string | null };
  /** Events that the answer is about. */
  readonly size: number;
  /** Events at the front that were refused while an event behind them, in the same batch, was accepted. */
  readonly refusedBeforeAccepted: number;
  readonly answered: boolean;
  readonly retryAfter: number | undefined;
}

export interface Moment {
  readonly now: number;
  /** Events that the sink has accepted in all. */
  readonly accepted: number;
  /** 0 to 1, for the jitter. */
  readonly random: number;
}

export type Decision =
  /** `eventToBlame`: it waits because the first event is bad, and not because the destination is. */
  | { readonly kind: 'wait'; readonly delay: number; readonly eventToBlame: boolean }
  | { readonly kind: 'dead_letter'; readonly attempts: number }
  /** The events behind the first are tried. */
  | { readonly kind: 'probe' };

export interface Outcome {
  readonly failure: FailureState;
  readonly decision: Decision;
}

const QUICK_WAITS = [200, 1000];
const BLIND_SPLITS = 2;

export function newFailureState(since: number, accepted: number): FailureState {
  return {
    since,
    awaySince: null,
    acceptedBefore: accepted,
    acceptedAtLastFailure: accepted,
    outages: 0,
    splitsWithoutSuccess: 0,
    suspects: 0,
    leftOfRefused: 0,
    acceptedSinceRefused: false,
    loneRefusals: 0,
    failures: 0,
    size: Infinity,
    probing: null,
  };
}

/** What follows a batch that came back. */
export function decideAfterFailure(
  before: FailureState,
  cause: DeliveryFailure,
  moment: Moment,
  policy: RetryPolicy,
): Outcome {
  const fresh = moment.accepted > before.acceptedAtLastFailure;
  const tries = triesBefore(before.probing, cause.event);
  const repeated = before.outages + before.failures > 0 || tries !== undefined;
  const refused = cause.kind === 'failed' || (cause.answered && fresh && repeated);
  const failure: FailureState = {
    ...before,
    acceptedAtLastFailure: moment.accepted,
    awaySince: cause.kind === 'failed' ? null : (before.awaySince ?? moment.now),
  };
  if (!refused && !cause.answered) return waitForDestination(failure, cause, moment, policy);
  if (cause.size > 1 && refused) return halve(failure, cause, moment, policy);
  if (cause.size > 1) {
    const split = lastsLong(failure, policy) ? halve(failure, cause, moment, policy).failure : failure;
    return waitForDestination(split, cause, moment, policy);
  }
  return afterAnswerAlone(failure, cause, { fresh, refused, tries, moment, policy });
}

/** The first event was refused alone, or met an error of the destination's own. */
function afterAnswerAlone(
  before: FailureState,
  cause: DeliveryFailure,
  given: { fresh: boolean; refused: boolean; tries: number | undefined; moment: Moment; policy: RetryPolicy },
): Outcome {
  const { fresh, refused, tries, moment, policy } = given;
  const leftOfRefused = Math.max(before.leftOfRefused, cause.kind === 'failed' ? cause.refusedBeforeAccepted : 0);
  const failure: FailureState = {
    ...before,
    loneRefusals: before.loneRefusals + 1,
    suspects: refused ? Math.max(1, leftOfRefused) : before.suspects,
    size: refused ? 1 : before.size,
    leftOfRefused,
    acceptedSinceRefused: before.acceptedSinceRefused || (fresh && before.loneRefusals > 0),
  };
  if (tries !== undefined) {
    if (refused) return { failure, decision: { kind: 'dead_letter', attempts: tries + 1 } };
    if (failure.loneRefusals < policy.maxAttempts) return waitForDestination(failure, cause, moment, policy);
  }
  // A 5xx answer (`unavailable`) is `refused` only when others were accepted since the last failure: that is proof enough.
  const isOwn = leftOfRefused > 0 || failure.acceptedSinceRefused || cause.kind === 'unavailable';
  if (refused && isOwn) return afterOwnFailure(before, failure, cause, { proven: fresh || leftOfRefused > 0, policy });
  if (failure.loneRefusals >= policy.maxAttempts && (refused || lastsLong(failure, policy)))
    return { failure, decision: { kind: 'probe' } };
  return waitForDestination(failure, cause, moment, policy);
}

/** Proven: something was accepted since the last refusal, or all that was refused with it. */
function afterOwnFailure(
  before: FailureState,
  failure: FailureState,
  { retryAfter }: DeliveryFailure,
  { proven, policy }: { proven: boolean; policy: RetryPolicy },
): Outcome {
  // The first lone refusal did not count while nothing proved whose fault it was. This one proves it, so both count.
  const failures = before.failures === 0 && before.loneRefusals > 0 ? 2 : before.failures + 1;
  const own = { ...failure, failures };
  if (failures < policy.maxAttempts) {
    const backoff = policy.backoff[Math.min(failures, policy.backoff.length) - 1] ?? 0;
    return { failure: own, decision: { kind: 'wait', delay: Math.max(backoff, retryAfter ?? 0), eventToBlame: true } };
  }
  return { failure: own, decision: proven ? { kind: 'dead_letter', attempts: own.loneRefusals } : { kind: 'probe' } };
}

/** After `count` events from the front were accepted; null when the lane has recovered. */
export function afterAccepted(failure: FailureState, count: number, now: number): FailureState | null {
  const left = without(failure, count);
  return left && { ...left, since: now, awaySince: null, leftOfRefused: left.suspects === 1 ? 1 : left.leftOfRefused };
}

/** An event that has no others behind it, which could tell whose fault it is, waits until the destination has accepted some. */
export function waitForOthers(
  failure: FailureState,
  { retryAfter }: Pick<DeliveryFailure, 'retryAfter'>,
  { backoff }: RetryPolicy,
): Outcome {
  const delay = Math.max(backoff.at(-1) ?? 0, retryAfter ?? 0);
  return { failure, decision: { kind: 'wait', delay, eventToBlame: true } };
}

/** Of the first event, which has left with what is known of it. */
export function ofOneEvent(failure: FailureState): FailureState {
  return { ...failure, suspects: 1, size: 1, leftOfRefused: Math.min(1, failure.leftOfRefused), probing: null };
}

/** After the first event has left the lane, or become a dead letter. */
export function afterDeadLetter(failure: FailureState): FailureState | null {
  return without(failure, 1);
}

/** After the oldest events were given up because the destination is away, which it still is: the wait goes on as before. */
export function afterUnavailable(failure: FailureState): FailureState {
  return { ...failure, loneRefusals: 0, failures: 0, probing: null };
}

/**
 * After `count` events from the front became dead letters for a reason of their own: too old to be sent, or refused for good. What
 * was learned of a destination that is away stays.
 */
export function afterLeft(failure: FailureState, count: number): FailureState | null {
  if (failure.outages === 0 || failure.probing) return without(failure, count);
  const suspects = Math.max(0, failure.suspects - count);
  return { ...afterUnavailable(failure), suspects, leftOfRefused: Math.max(0, failure.leftOfRefused - count) };
}

/** The events behind the first are tried from here on. */
export function startProbing(failure: FailureState, given: Parameters<typeof beginRound>[1]): FailureState {
  return { ...failure, suspects: 1, size: 1, probing: beginRound(failure.probing, given) };
}

/** The wait for the destination. */
export function waitForDestination(
  before: FailureState,
  { retryAfter }: Pick<DeliveryFailure, 'retryAfter'>,
  { random }: Pick<Moment, 'random'>,
  policy: RetryPolicy,
): Outcome {
  const failure = { ...before, outages: before.outages + 1 };
  const quick = failure.outages <= policy.quickRetries;
  const ceiling = quick
    ? (QUICK_WAITS[Math.min(failure.outages, QUICK_WAITS.length) - 1] ?? 1000)
    : Math.min(policy.longestWait, 1000 * 2 ** Math.min(failure.outages - policy.quickRetries, 20));
  const jittered = quick ? ceiling * random : ceiling * (0.5 + random / 2);
  return { failure, decision: { kind: 'wait', delay: Math.max(jittered, retryAfter ?? 0), eventToBlame: false } };
}

function without(failure: FailureState, count: number): FailureState | null {
  const probing = oneLess(failure.probing);
  const suspects = probing ? 1 : Math.max(0, failure.suspects - count);
  if (suspects === 0) return null;
  const size = Math.ceil(suspects / 2);
  const leftOfRefused = Math.max(0, failure.leftOfRefused - count);
  const ofFirst = { outages: 0, failures: 0, loneRefusals: 0, acceptedSinceRefused: false };
  return { ...failure, ...ofFirst, leftOfRefused, suspects, size, probing };
}

/** The destination has been waited for so often that this is no restart. */
function lastsLong({ outages }: FailureState, { quickRetries, maxAttempts }: RetryPolicy): boolean {
  return outages >= quickRetries + maxAttempts;
}

function halve(before: FailureState, cause: DeliveryFailure, moment: Moment, policy: RetryPolicy): Outcome {
  const healthy = moment.accepted > before.acceptedBefore;
  const failure: FailureState = {
    ...before,
    suspects: cause.size,
    leftOfRefused: 0,
    acceptedSinceRefused: false,
    loneRefusals: 0,
    failures: 0,
  };
  if (!healthy && failure.splitsWithoutSuccess >= BLIND_SPLITS) {
    return waitForDestination({ ...failure, size: 1 }, cause, moment, policy);
  }
  const splitsWithoutSuccess = failure.splitsWithoutSuccess + (healthy ? 0 : 1);
  const size = Math.ceil(cause.size / 2);
  return {
    failure: { ...failure, splitsWithoutSuccess, size },
    decision: { kind: 'wait', delay: 0, eventToBlame: false },
  };
}
