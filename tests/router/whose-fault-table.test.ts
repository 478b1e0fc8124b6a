/** The decisions themselves, one line of a table each: what came back, and what follows. */
import { describe, expect, test } from 'vitest';
import {
  afterNothingLeft,
  afterProbe,
  beginRound,
  passBy,
  PROBED_EVENTS,
  type Probing,
} from '../../src/router/lanes/probe-policy.ts';
import {
  afterAccepted,
  decideAfterFailure,
  afterDeadLetter,
  type DeliveryFailure,
  type Decision,
  newFailureState,
  type RetryPolicy,
  startProbing,
  type FailureState,
} from '../../src/router/lanes/failure-policy.ts';

const policy: RetryPolicy = {
  quickRetries: 2,
  maxAttempts: 3,
  backoff: [60_000, 120_000],
  parkAfter: 10_000,
  unavailableFor: 0,
  longestWait: 10_000,
};

/** f: refused, e: an error of the destination's own, u: away; the number is the size, `+` that others were accepted before. */
function follow(
  story: string,
  from: FailureState = newFailureState(0, 0),
): { failure: FailureState; decision: Decision } {
  let accepted = from.acceptedAtLastFailure;
  let outcome = { failure: from, decision: { kind: 'wait', delay: 0, eventToBlame: false } as Decision };
  for (const word of story.split(' ')) {
    if (word.startsWith('+')) accepted += 1;
    const kind = word.includes('f') ? 'failed' : 'unavailable';
    const size = Number(/\d+$/.exec(word)?.[0] ?? 1);
    const cause: DeliveryFailure = {
      kind,
      size,
      event: { parkedId: 'first' },
      refusedBeforeAccepted: word.includes('b') ? 1 : 0,
      answered: word.includes('e'),
      retryAfter: undefined,
    };
    outcome = decideAfterFailure(Object.freeze(outcome.failure), cause, { now: 0, accepted, random: 1 }, policy);
  }
  return outcome;
}

const said = (decision: Decision): string =>
  decision.kind === 'wait' ? `${decision.eventToBlame ? 'own ' : ''}${decision.delay}` : decision.kind;

describe('what follows', () => {
  test.each([
    ['f', '200'],
    ['f f', '1000'],
    ['f f f', 'probe'],
    ['u u u u', '4000'],
    ['f u f u f', 'probe'], // an outage in between counts neither way
    ['f +f', 'own 120000'],
    ['f +f +f', 'dead_letter'],
    ['f +f f', 'probe'], // three of its own, but nothing was accepted since the last
    ['fb', 'own 60000'],
    ['fb f f', 'dead_letter'],
    ['f100', '0'],
    ['f100 f50', '0'],
    ['f100 f50 f25', '200'],
    ['f100 +f50 f25 f12 f6', '0'],
    ['e', '200'],
    ['e +e', 'own 120000'],
    ['e +e +e', 'dead_letter'],
    ['e e e e e', '8000'],
    ['e e e e e e', 'probe'],
    ['e100 e100 e100 e100 e100', '8000'],
  ])('%s -> %s', (story, expected) => {
    expect(said(follow(story).decision)).toBe(expected);
  });

  test('an error of the destination’s own that lasts takes a batch apart', () => {
    expect(follow('e100 e100 e100 e100 e100').failure.size).toBe(Infinity);
    expect(follow('e100 e100 e100 e100 e100 e100').failure.size).toBe(50);
  });

  test('the last of a refused batch whose others were accepted is to blame', () => {
    const { failure } = follow('f4');
    const leftOfRefused = afterAccepted(afterAccepted(failure, 2, 0) as FailureState, 1, 0) as FailureState;
    expect(said(follow('f f f', leftOfRefused).decision)).toBe('dead_letter');
  });

  test('a dead letter in front tells nothing about the next', () => {
    const { failure } = follow('f4');
    const left = afterDeadLetter(
      afterDeadLetter(afterDeadLetter(failure) as FailureState) as FailureState,
    ) as FailureState;
    expect(said(follow('f f f', left).decision)).toBe('probe');
  });

  test('the time of an outage begins with its first cause, and an answer about an event ends it', () => {
    expect(follow('u u').failure.awaySince).toBe(0);
    expect(follow('u u f').failure.awaySince).toBeNull();
  });
});

const known = (n: number, eventType = 'a') => ({
  eventId: `id${n}`,
  eventType,
  parkedId: n === 0 ? 'first' : `${n}`,
  ordinal: n,
  origin: { commitLsn: 7n },
});
const round = (before: Probing | null, now = 0): Probing =>
  beginRound(before, { first: known(0), tries: 3, reason: '422', away: false, now });
const probe = (probing: Probing, n: number, outcome: Parameters<typeof afterProbe>[2]['outcome']) =>
  afterProbe(probing, known(n), { outcome, place: `p${n}`, maxAttempts: 3 });

describe('the events behind', () => {
  test('are tried in rounds of one, four, sixteen; a page, and it is through', () => {
    let probing = round(null);
    const sizes: number[] = [];
    for (let n = 1, size = 0; n <= PROBED_EVENTS; n += 1) {
      if (probing.step === 'first') probing = round(probing);
      if (probing.step === 'types') probing = afterNothingLeft(probing, { now: 0, backoff: [1] }).probing;
      const after = probe(probing, n, 'refused');
      probing = after.probing;
      size += 1;
      if (after.over || n === PROBED_EVENTS) [sizes[sizes.length], size] = [size, 0];
    }
    expect(sizes).toEqual([1, 4, 16, 64, 215]);
    expect(probing.refused.size).toBe(1 + PROBED_EVENTS);
    expect(probing.refusingSince).toBeNull();
    const { probing: refusing, over } = afterNothingLeft(probing, { now: 5, backoff: [1_000, 2_000] });
    expect([refusing.refusingSince, refusing.nextPassAt, over]).toEqual([5, 1_005, true]);
  });

  test('one that is accepted gives each refused one a last try, and each of them ends with it', () => {
    const { probing } = probe(probe({ ...round(null), budget: 9 }, 1, 'refused').probing, 2, 'accepted');
    expect([probing.step, probing.left, [...probing.refused]]).toEqual(['last', 2, ['first', '1']]);
    const asked = {
      ...startProbing(newFailureState(0, 0), { first: known(0), tries: 3, reason: '', away: false, now: 0 }),
      probing,
    };
    expect(follow('f', asked).decision).toEqual({ kind: 'dead_letter', attempts: 4 });
    expect(said(follow('u', asked).decision)).toBe('200');
    expect(said(follow('e', asked).decision)).toBe('200');
    expect(afterDeadLetter(asked)?.probing?.left).toBe(1);
    expect(afterDeadLetter(afterDeadLetter(asked) as FailureState)).toBeNull();
  });

  test('an outage leaves the place where it was; an error of the destination’s own passes an event the third time', () => {
    const begun = round(null);
    expect(probe(begun, 1, 'silent')).toMatchObject({ over: true, probing: { step: 'first', place: null } });
    let probing = begun;
    for (const place of [null, null, 'p1']) {
      const after = probe({ ...probing, step: 'behind' }, 1, 'answered');
      expect(after).toMatchObject({ over: true, probing: { step: 'first', place } });
      ({ probing } = after);
    }
    expect(probing.refused.has('1')).toBe(true);
  });

  test('the first itself is passed by, also when it has got its row meanwhile', () => {
    const fresh = { ...known(0), parkedId: null };
    const begun = beginRound(null, { first: fresh, tries: 3, reason: '', away: false, now: 0 });
    expect(begun.refused.size).toBe(0);
    expect([...(passBy(begun, known(0), 'p0')?.refused ?? [])]).toEqual(['first']);
    expect(passBy(begun, known(1), 'p1')).toBeNull();
  });

  test('a new pass begins after backoff, and later ones after longer, up to an hour', () => {
    let probing = round(null);
    const waits: number[] = [];
    for (let now = 0; waits.length < 9; now = probing.nextPassAt) {
      if (probing.step === 'first') probing = round(probing, now);
      if (probing.step === 'types') ({ probing } = afterNothingLeft(probing, { now, backoff: [60_000, 120_000] }));
      ({ probing } = afterNothingLeft(probing, { now, backoff: [60_000, 120_000] }));
      waits.push((probing.nextPassAt - now) / 60_000);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  });

  test('while the first meets errors of the destination’s own, nothing is called refusing', () => {
    const away = beginRound(null, { first: known(0), tries: 3, reason: '500', away: true, now: 0 });
    expect(afterNothingLeft(away, { now: 5, backoff: [1] }).probing.refusingSince).toBeNull();
  });
});
