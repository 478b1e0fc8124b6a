/**
 * The event or the destination? One event of a lane is refused alone, again and again, and nothing else of the sink is
 * accepted, so nobody can tell. Then the events behind it are tried, alone, and the answers decide. Pure, like failure-policy.ts.
 *
 *   first    the first event is tried, after each wait      -> when it is refused again: behind in the first pass, else types
 *   types    the first event of a type not tried yet is     -> behind, when there is none
 *            tried; left out in the first pass
 *   behind   those behind are tried once, in order, some    -> first, when those of the round were refused; when a page of
 *            in each round                                     them or the lane is through, the destination is refusing
 *   last     one was accepted: each refused one has one     -> over, when all have had it
 *            more try, in order, and is a dead letter then
 *
 * An outage, or an error of the destination's own (5xx), ends the round: the lane waits, and goes on where it was; an
 * event that meets such errors `maxAttempts` times in a row counts as refused. A new pass, in which those that were refused
 * are tried again, begins after `backoff`, and later ones after longer. Nothing of this is held in memory but names: the
 * events are in Postgres, and each is read when its turn has come.
 */

/** Maximum of events behind a refused one that are tried, and may overtake it. */
export const PROBED_EVENTS = 300;

const LONGEST_BETWEEN_PASSES = 3_600_000;
/** Maximum of ids that are kept to be shown. */
const MOST_IDS = 10;

export interface Probing {
  readonly step: 'first' | 'types' | 'behind' | 'last';
  /** The rows of the events that were refused alone, and the ids of the first of them. */
  readonly refused: ReadonlySet<string>;
  readonly eventIds: readonly string[];
  /** Types of which one was refused. */
  readonly types: ReadonlySet<string>;
  /** The event that all this is about. */
  readonly first: string;
  readonly firstTries: number;
  /** The last event behind that was tried in this pass; null at its beginning. */
  readonly place: string | null;
  readonly passed: number;
  /** Passes that ended without an accepted event, and whether this one has ended. */
  readonly passes: number;
  readonly passEnded: boolean;
  readonly nextPassAt: number;
  /** Since when everything that was tried is refused; null before, and while the destination is away. */
  readonly refusingSince: number | null;
  /** The answer for the first event, and whether it was an error of the destination's own. */
  readonly reason: string;
  readonly away: boolean;
  /** Rounds of this pass, and events that this round may still try. */
  readonly rounds: number;
  readonly budget: number;
  /** Errors of the destination's own in a row, for the event that is next. */
  readonly errors: number;
  /** Last tries that are left. */
  readonly left: number;
}

export interface ProbedEvent {
  readonly eventId: string;
  readonly eventType: string;
  readonly parkedId: string | null;
  readonly ordinal: number | null;
  readonly origin: { readonly commitLsn: bigint | null };
}

/**
 * refused: alone, this time. answered: with an error of the destination's own. silent: nothing was said about the event.
 * settled: it was refused for good, and is a dead letter already.
 */
export type ProbeOutcome = 'accepted' | 'refused' | 'answered' | 'silent' | 'settled';

export interface RoundStart {
  readonly first: ProbedEvent;
  readonly tries: number;
  readonly reason: string;
  readonly away: boolean;
  readonly now: number;
}

/** The first event was refused once more: those behind it are asked. */
export function beginRound(before: Probing | null, { first, tries, reason, away, now }: RoundStart): Probing {
  const probing = before ?? NEW;
  const known = { ...noted(probing, first), reason, away, first: nameOf(first), firstTries: tries };
  // In the first pass an accepted event of another type would speak only for the few that were tried so far.
  if (before === null || before.passes === 0) return withBudget({ ...known, step: 'behind', left: 0 });
  if (!before.passEnded || now < before.nextPassAt) return withBudget({ ...known, step: 'types', left: 0 });
  return withBudget({ ...known, step: 'types', left: 0, place: null, passed: 0, rounds: 0, passEnded: false });
}

/**
 * The first round of a pass tries one event, the next four, then sixteen: a destination that refuses everything and
 * recovers is then most likely to be asked for the first event first, and nothing overtakes.
 */
function withBudget(probing: Probing): Probing {
  return { ...probing, rounds: probing.rounds + 1, budget: Math.min(PROBED_EVENTS, 4 ** probing.rounds) };
}

/** An event behind the first was tried; `place` is where it stands. `over`: the lane waits now. */
export function afterProbe(
  before: Probing,
  event: ProbedEvent,
  given: { readonly outcome: ProbeOutcome; readonly place: string; readonly maxAttempts: number },
): { readonly probing: Probing; readonly over: boolean } {
  const { outcome, place, maxAttempts } = given;
  const errors = outcome === 'answered' ? before.errors + 1 : before.errors;
  if (outcome === 'silent' || (outcome === 'answered' && errors < maxAttempts)) {
    return { probing: { ...before, step: 'first', errors }, over: true };
  }
  const moved: Probing = { ...before, errors: 0, budget: before.budget - 1, ...behind(before, place) };
  if (outcome === 'accepted') {
    return { probing: { ...moved, step: 'last', left: moved.refused.size, refusingSince: null }, over: false };
  }
  const probing = outcome === 'settled' ? moved : noted(moved, event);
  const over = outcome === 'answered' || (moved.budget <= 0 && !isThrough(moved));
  return { probing: over ? { ...probing, step: 'first' } : probing, over };
}

/** A page of the events behind was tried in this pass. */
export function isThrough({ step, passed }: Probing): boolean {
  return step === 'behind' && passed >= PROBED_EVENTS;
}

function behind({ step, passed }: Probing, place: string): Partial<Probing> {
  return step === 'behind' ? { place, passed: passed + 1 } : {};
}

/** The next event behind is not tried: it is the first itself, or was tried in this pass because of its type. */
export function passBy(probing: Probing, event: ProbedEvent, place: string): Probing | null {
  if (event.parkedId === null || probing.step !== 'behind') return null;
  if (probing.place === null && nameOf(event) === probing.first) {
    return { ...noted(probing, event), place };
  }
  if (probing.passes > 0 || !probing.refused.has(event.parkedId)) return null;
  return { ...probing, ...behind(probing, place) };
}

/** No event is left to try in the step `types` or `behind`; `over`: the lane waits now. */
export function afterNothingLeft(
  before: Probing,
  { now, backoff }: { readonly now: number; readonly backoff: readonly number[] },
): { readonly probing: Probing; readonly over: boolean } {
  if (before.step === 'types') return { probing: { ...before, step: 'behind' }, over: false };
  const refusingSince = before.away ? null : (before.refusingSince ?? now);
  const probing: Probing = { ...before, step: 'first', refusingSince };
  if (before.passEnded) return { probing, over: true };
  const nextPassAt = now + betweenPasses(before.passes, backoff);
  return { probing: { ...probing, passEnded: true, passes: before.passes + 1, nextPassAt }, over: true };
}

/** A pass can cost hundreds of requests, so the waits go on doubling where `backoff` ends. */
function betweenPasses(passes: number, backoff: readonly number[]): number {
  const more = Math.max(0, passes - backoff.length + 1);
  const last = backoff[Math.min(passes, backoff.length - 1)] ?? 1000;
  return Math.max(last, Math.min(LONGEST_BETWEEN_PASSES, last * 2 ** Math.min(more, 30)));
}

/** How often the event was tried alone; 0 when it was not. */
export function triesOf(probing: Probing, event: { readonly parkedId: string | null }): number {
  if (event.parkedId === null || !probing.refused.has(event.parkedId)) return 0;
  const [first] = probing.refused;
  return event.parkedId === first ? probing.firstTries : probing.passes + (probing.passEnded ? 0 : 1);
}

/** How often the event was tried alone, when only its last try is left; undefined in every other step, and when it was not tried. */
export function triesBefore(probing: Probing | null, event: { readonly parkedId: string | null }): number | undefined {
  return (probing?.step === 'last' && triesOf(probing, event)) || undefined;
}

/** After the first event has left the lane: what is left of the last tries; null when none is. */
export function oneLess(probing: Probing | null): Probing | null {
  return probing?.step === 'last' && probing.left > 1 ? { ...probing, left: probing.left - 1 } : null;
}

const NEW: Probing = {
  step: 'first',
  refused: new Set(),
  eventIds: [],
  types: new Set(),
  first: '',
  firstTries: 0,
  place: null,
  passed: 0,
  passes: 0,
  passEnded: false,
  nextPassAt: 0,
  refusingSince: null,
  reason: '',
  away: false,
  rounds: 0,
  budget: 0,
  errors: 0,
  left: 0,
};

/** What an event is called before and after it has a row. */
function nameOf({ eventId, origin, ordinal }: ProbedEvent): string {
  return `${eventId} ${origin.commitLsn}/${ordinal}`;
}

function noted(probing: Probing, { eventId, eventType, parkedId }: ProbedEvent): Probing {
  const types = probing.types.has(eventType) ? probing.types : new Set([...probing.types, eventType]);
  if (parkedId === null || probing.refused.has(parkedId)) return { ...probing, types };
  const eventIds = probing.eventIds.length < MOST_IDS ? [...probing.eventIds, eventId] : probing.eventIds;
  return { ...probing, types, eventIds, refused: new Set([...probing.refused, parkedId]) };
}
