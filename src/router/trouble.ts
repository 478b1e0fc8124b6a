/**
 * Whose fault is it? The decisions after a batch came back, as functions of numbers.
 *
 * `unavailable` is the destination's: the lane waits and tries the same events again, for as long as it takes; no attempt
 * of any event is counted. An answer of its own (5xx) that comes again while the destination accepts other events in
 * between is treated like `failed`.
 *
 * `failed` is an event's own, but of a batch refused as a whole nobody knows which event. So the batch is halved from
 * the front, in order, until the culprit is alone: a suspect range shrinks as halves are accepted. A destination that has
 * accepted nothing since the trouble began is presumed broken after two halvings; from then on only the first event is
 * tried, alone and with the patience of an outage. Alone, with the destination accepting others, a failure is the event's
 * own attempt; after `maxAttempts` it is a dead letter.
 *
 * One doubt is left: an event that is refused alone while nothing else of the sink moves. After `maxAttempts` each further
 * refusal is followed at once by a try of the event behind it. If that one is refused too, the destination is broken and
 * both wait. If it is accepted, the first gets one more try, and a refusal then makes it a dead letter, which leaves the
 * order. (A destination that recovers between the two tries sees them the wrong way round: better than a healthy event
 * among the dead.)
 */
export interface Trouble {
  /** When it began, or when the lane last had something accepted, on the clock that never jumps. */
  since: number;
  /** How many events the sink had accepted in all when it began, and at the last blow. */
  readonly acceptedBefore: number;
  acceptedAtLastBlow: number;
  /** Times in a row that the destination was to blame. */
  outages: number;
  /** Halvings while the destination accepted nothing. */
  blindSplits: number;
  /** So many events from the front hold at least one culprit; 0 when nothing is suspected. */
  suspects: number;
  /** Own failures of the first event, alone. */
  failures: number;
  /** Outages that the first event met alone and with an answer: its own failures, if it turns out so. */
  answeredAlone: number;
  /** Refusals of the first event alone while nothing else was accepted. */
  doubts: number;
  /** Most events of the next batch. */
  size: number;
  /** The next batch is the second event, alone. */
  probeSecond: boolean;
}

export interface RetryPolicy {
  readonly quickRetries: number;
  readonly maxAttempts: number;
  /** Milliseconds between own failures; the last repeats. */
  readonly backoff: readonly number[];
  /** Milliseconds after which an event that is not settled is parked. */
  readonly parkAfter: number;
  /** Milliseconds after which a destination that is away gives up its oldest events; 0 is never. */
  readonly unavailableFor: number;
  /** The longest wait for a destination that is away, in milliseconds, unless it asks for more. */
  readonly longestWait: number;
}

export interface Blow {
  readonly kind: 'failed' | 'unavailable';
  /** Events that the answer is about. */
  readonly size: number;
  readonly answered: boolean;
  readonly retryAfter: number | undefined;
}

export interface Moment {
  /** Events that the sink has accepted in all. */
  readonly accepted: number;
  /** 0 to 1, for the jitter. */
  readonly random: number;
}

export type Decision =
  /** Own: the first event is to blame, and those behind it are not. */
  { readonly kind: 'wait'; readonly delay: number; readonly own: boolean } | { readonly kind: 'dead_letter' };

const QUICK_WAITS = [200, 1000];
const BLIND_SPLITS = 2;

export function newTrouble(since: number, accepted: number): Trouble {
  return {
    since,
    acceptedBefore: accepted,
    acceptedAtLastBlow: accepted,
    outages: 0,
    blindSplits: 0,
    suspects: 0,
    failures: 0,
    answeredAlone: 0,
    doubts: 0,
    size: Infinity,
    probeSecond: false,
  };
}

/** What follows a batch that came back. Changes the trouble. */
export function afterBlow(trouble: Trouble, blow: Blow, moment: Moment, policy: RetryPolicy): Decision {
  const others = moment.accepted > trouble.acceptedAtLastBlow;
  const repeated = trouble.outages + trouble.failures > 0;
  trouble.acceptedAtLastBlow = moment.accepted;
  const own = blow.kind === 'failed' || (blow.answered && others && repeated);
  if (!own) {
    if (blow.answered && blow.size === 1) trouble.answeredAlone += 1;
    return outage(trouble, blow, moment, policy);
  }
  const healthy = moment.accepted > trouble.acceptedBefore;
  if (blow.size > 1) return halve(trouble, blow, { healthy, moment, policy });
  trouble.suspects = 1;
  trouble.size = 1;
  if (!healthy) return doubt(trouble, blow, moment, policy);
  trouble.failures += 1 + trouble.answeredAlone;
  trouble.answeredAlone = 0;
  if (trouble.failures >= policy.maxAttempts) return { kind: 'dead_letter' };
  const backoff = policy.backoff[Math.min(trouble.failures, policy.backoff.length) - 1] ?? 0;
  return { kind: 'wait', delay: Math.max(backoff, blow.retryAfter ?? 0), own: true };
}

/** After `count` events from the front were accepted; true when the trouble is over. */
export function afterAccepted(trouble: Trouble, count: number): boolean {
  trouble.suspects = Math.max(0, trouble.suspects - count);
  trouble.outages = 0;
  trouble.failures = 0;
  trouble.answeredAlone = 0;
  trouble.doubts = 0;
  trouble.size = trouble.suspects > 0 ? Math.ceil(trouble.suspects / 2) : Infinity;
  return trouble.suspects === 0;
}

/** After the event behind the first was tried. */
export function afterProbe(trouble: Trouble, accepted: boolean, policy: RetryPolicy): void {
  trouble.probeSecond = false;
  if (!accepted) return;
  trouble.outages = 0;
  trouble.failures = policy.maxAttempts - 1;
}

function halve(
  trouble: Trouble,
  blow: Blow,
  given: { healthy: boolean; moment: Moment; policy: RetryPolicy },
): Decision {
  trouble.suspects = blow.size;
  if (!given.healthy && trouble.blindSplits >= BLIND_SPLITS) {
    trouble.size = 1;
    return outage(trouble, blow, given.moment, given.policy);
  }
  if (!given.healthy) trouble.blindSplits += 1;
  trouble.size = Math.ceil(blow.size / 2);
  return { kind: 'wait', delay: 0, own: false };
}

function doubt(trouble: Trouble, blow: Blow, moment: Moment, policy: RetryPolicy): Decision {
  trouble.doubts += 1;
  trouble.probeSecond = trouble.doubts >= policy.maxAttempts && !trouble.probeSecond;
  if (trouble.probeSecond) return { kind: 'wait', delay: 0, own: false };
  return outage(trouble, blow, moment, policy);
}

function outage(trouble: Trouble, blow: Blow, moment: Moment, policy: RetryPolicy): Decision {
  trouble.outages += 1;
  const quick = trouble.outages <= policy.quickRetries;
  const ceiling = quick
    ? (QUICK_WAITS[Math.min(trouble.outages, QUICK_WAITS.length) - 1] ?? 1000)
    : Math.min(policy.longestWait, 1000 * 2 ** Math.min(trouble.outages - policy.quickRetries, 20));
  const jittered = quick ? ceiling * moment.random : ceiling * (0.5 + moment.random / 2);
  return { kind: 'wait', delay: Math.max(jittered, blow.retryAfter ?? 0), own: false };
}
