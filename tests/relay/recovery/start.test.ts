import { describe, expect, test } from 'vitest';
import {
  decideStart,
  type StartDecision,
  type Existing,
  type KnownCursor,
  type StartFacts,
} from '../../../src/relay/starts/start.ts';

const ROWS = { rows: 50, parked: 0, deadLetters: 0, areForeign: false };
const NONE = { rows: 0, parked: 0, deadLetters: 0, areForeign: false };

const cursor = (slot: string, more: Partial<KnownCursor> = {}): KnownCursor => ({
  slot,
  source: 'ours',
  begun: true,
  isFromHere: true,
  ...more,
});
const others = (slot: string): KnownCursor => cursor(slot, { source: 'of others' });
const copied = (slot: string): KnownCursor => cursor(slot, { isFromHere: false });

interface Case extends Partial<Omit<StartFacts, 'configured' | 'foreignSlots'>> {
  slot?: string;
  takesOver?: string;
  existing?: Existing;
  mapped?: boolean;
  foreign?: string[];
}

function decide({ slot, takesOver, existing, mapped = false, foreign = [], ...more }: Case): string {
  const facts: StartFacts = {
    configured: { slot, takesOver, existing, isOwnTable: !mapped },
    usualSlot: 'walpost_app',
    cursors: [],
    foreignSlots: new Set(foreign),
    installed: 'here',
    contents: ROWS,
    ...more,
  };
  return text(decideStart(facts));
}

/** In one line. */
function text(decision: StartDecision): string {
  if ('needs' in decision) return `count, ${decision.slot}`;
  if ('refusal' in decision) {
    const { kind, ...more } = decision.refusal;
    const names = Object.values(more).flatMap((it: unknown) =>
      typeof it === 'string' || Array.isArray(it) ? it : ((it as KnownCursor | undefined)?.slot ?? []),
    );
    return [`no: ${kind}`, ...names].join(', ');
  }
  const { kind, slot, ...more } = decision.start;
  return [kind, slot, ...Object.values(more).filter(Boolean)].join(', ');
}

type Row = [name: string, facts: Case, expected: string];

describe('a first start', () => {
  test.each<Row>([
    ['of walpost.outbox with rows', {}, 'first, walpost_app, deliver'],
    ['of walpost.outbox without', { contents: NONE }, 'first, walpost_app, deliver'],
    ['under a name of its own', { slot: 'a' }, 'first, a, deliver'],
    ['told to skip', { existing: 'skip' }, 'first, walpost_app, skip'],
    ['of a mapped table with rows', { mapped: true }, 'no: existing rows'],
    ['the same, told to deliver', { mapped: true, existing: 'deliver' }, 'first, walpost_app, deliver'],
    ['the same, told to skip', { mapped: true, existing: 'skip' }, 'first, walpost_app, skip'],
    ['of a mapped table without rows', { mapped: true, contents: NONE }, 'first, walpost_app, ask'],
    ['again, since the last one did not get far', { cursors: [cursor('a', { begun: false })] }, 'first, a, deliver'],
    ['the same under its name', { slot: 'a', cursors: [cursor('a', { begun: false })] }, 'first, a, deliver'],
    ['that takes over from a slot which is not there', { slot: 'a', takesOver: 'b' }, 'first, a, deliver'],
    ['of a second source', { cursors: [others('walpost_app')] }, 'first, walpost_app_2, deliver'],
    ['of a shard', { cursors: [cursor('walpost_app', { source: 'same table' })] }, 'first, walpost_app_2, deliver'],
    ['of a third', { cursors: [others('walpost_app'), others('walpost_app_2')] }, 'first, walpost_app_3, deliver'],
    ['of a second one, mapped', { mapped: true, cursors: [others('walpost_app')] }, 'no: existing rows'],
    ['while another database has the usual name', { foreign: ['walpost_app'] }, 'first, walpost_app_2, deliver'],
    ['under a name that another database has', { slot: 'a', foreign: ['a'] }, 'no: slot of another database, a'],
    ['under the name of another source', { slot: 'a', cursors: [others('a')] }, 'no: slot of another source, a'],
    ['before anything is counted', { contents: undefined }, 'count, walpost_app'],
  ])('%s', (_name, facts, expected) => {
    expect(decide(facts)).toBe(expected);
  });

  test('a usual name that is as long as names may be', () => {
    const usualSlot = 'w'.repeat(63);
    expect(decide({ usualSlot, foreign: [usualSlot] })).toBe(`first, ${'w'.repeat(61)}_2, deliver`);
  });
});

describe('a start that goes on', () => {
  test.each<Row>([
    ['with the recorded name', { cursors: [cursor('a')] }, 'continue, a'],
    ['with the name that is said', { slot: 'a', cursors: [cursor('a')] }, 'continue, a'],
    ['whatever is to become of existing rows', { existing: 'skip', cursors: [cursor('a')] }, 'continue, a'],
    ['beside other sources', { cursors: [cursor('a'), others('walpost_app')] }, 'continue, a'],
    ['of a mapped table with rows', { mapped: true, cursors: [cursor('a')] }, 'continue, a'],
    ['after it took over', { slot: 'a', takesOver: 'b', cursors: [cursor('a')] }, 'continue, a'],
    ['as if it took over from itself', { slot: 'a', takesOver: 'a', cursors: [cursor('a')] }, 'continue, a'],
    [
      'with a cursor that does not say whose it is',
      { slot: 'a', cursors: [cursor('a', { source: 'unknown' })] },
      'continue, a',
    ],
    [
      'with one of the usual name that does not say it',
      { cursors: [cursor('walpost_app', { source: 'unknown' })] },
      'continue, walpost_app',
    ],
    ['though nothing says where it was installed', { installed: 'unknown', cursors: [cursor('a')] }, 'continue, a'],
    ['with one of two of its own', { slot: 'a', cursors: [cursor('a'), cursor('b')] }, 'continue, a'],
    [
      'with another publication, under its name',
      { slot: 'a', cursors: [cursor('a', { source: 'same table' })] },
      'continue, a',
    ],
    ['with two of its own and no name', { cursors: [cursor('a'), cursor('b')] }, 'no: several slots, a, b'],
  ])('%s', (_name, facts, expected) => {
    expect(decide(facts)).toBe(expected);
  });
});

describe('another name in the configuration', () => {
  test.each<Row>([
    ['is no first start', { slot: 'b', cursors: [cursor('a')] }, 'no: another slot, b, a'],
    [
      'nor when the last one did not get far',
      { slot: 'b', cursors: [cursor('a', { begun: false })] },
      'no: another slot, b, a',
    ],
    ['that takes over', { slot: 'b', takesOver: 'a', cursors: [cursor('a')] }, 'take_over, b, a'],
    [
      'that takes over from one of two',
      { slot: 'c', takesOver: 'a', cursors: [cursor('a'), cursor('b')] },
      'take_over, c, a',
    ],
    [
      'that takes over from a name nobody has',
      { slot: 'b', takesOver: 'x', cursors: [cursor('a')] },
      'no: another slot, b, a',
    ],
    [
      'that takes over from another source',
      { slot: 'b', takesOver: 'a', cursors: [others('a')] },
      'no: slot of another source, a',
    ],
    [
      'that takes over from one that never began',
      { slot: 'b', takesOver: 'a', cursors: [cursor('a', { begun: false })] },
      'first, b, deliver, a',
    ],
    [
      'the same, told to skip',
      { slot: 'b', takesOver: 'a', existing: 'skip', cursors: [cursor('a', { begun: false })] },
      'first, b, skip, a',
    ],
    [
      'the same, of a mapped table with rows',
      { slot: 'b', takesOver: 'a', mapped: true, cursors: [cursor('a', { begun: false })] },
      'no: existing rows',
    ],
    [
      'the same, with rows of another cluster',
      {
        slot: 'b',
        takesOver: 'a',
        existing: 'skip',
        cursors: [cursor('a', { begun: false })],
        contents: { ...ROWS, areForeign: true },
      },
      'copy, b, a, skip',
    ],
    [
      'that takes over from the same table with another publication',
      { slot: 'b', takesOver: 'a', cursors: [cursor('a', { source: 'same table' })] },
      'take_over, b, a',
    ],
    [
      'that takes over though it has a cursor',
      { slot: 'b', takesOver: 'a', cursors: [cursor('a'), cursor('b')] },
      'no: both slots, b, a',
    ],
    [
      'that another database has',
      { slot: 'b', takesOver: 'a', cursors: [cursor('a')], foreign: ['b'] },
      'no: slot of another database, b',
    ],
    ['of two of its own', { slot: 'c', cursors: [cursor('a'), cursor('b')] }, 'no: several slots, a, b'],
  ])('%s', (_name, facts, expected) => {
    expect(decide(facts)).toBe(expected);
  });
});

describe('a copy', () => {
  test.each<Row>([
    ['with a cursor from elsewhere', { cursors: [copied('a')] }, 'no: copied, a'],
    ['the same, empty', { cursors: [copied('a')], contents: NONE }, 'no: copied, a'],
    ['the same, told to deliver', { existing: 'deliver', cursors: [copied('a')] }, 'copy, a, a, deliver'],
    ['the same, told to skip', { existing: 'skip', cursors: [copied('a')] }, 'copy, a, a, skip'],
    ['under its name', { slot: 'a', cursors: [copied('a')] }, 'no: copied, a'],
    ['under another name', { slot: 'b', cursors: [copied('a')] }, 'no: copied, a'],
    ['the same, told to skip', { slot: 'b', existing: 'skip', cursors: [copied('a')] }, 'copy, b, a, skip'],
    ['that would take over', { slot: 'b', takesOver: 'a', cursors: [copied('a')] }, 'no: copied, a'],
    ['whose slot the original has', { cursors: [cursor('a')], foreign: ['a'] }, 'no: copied, a'],
    [
      'the same, told to deliver',
      { existing: 'deliver', cursors: [cursor('a')], foreign: ['a'] },
      'copy, walpost_app, a, deliver',
    ],
    [
      'the same, with the usual name',
      { existing: 'deliver', cursors: [cursor('walpost_app')], foreign: ['walpost_app'] },
      'copy, walpost_app_2, walpost_app, deliver',
    ],
    [
      'told to deliver under the name that the original has',
      { slot: 'a', existing: 'deliver', cursors: [cursor('a')], foreign: ['a'] },
      'no: slot of another database, a',
    ],
    [
      'told to deliver under another name that is taken',
      { slot: 'b', existing: 'deliver', cursors: [copied('a')], foreign: ['b'] },
      'no: slot of another database, b',
    ],
    ['in which no relay ever ran', { installed: 'elsewhere' }, 'no: copied'],
    ['the same, told to deliver', { installed: 'elsewhere', existing: 'deliver' }, 'copy, walpost_app, deliver'],
    ['the same, told to skip', { installed: 'elsewhere', existing: 'skip' }, 'copy, walpost_app, skip'],
    ['the same, of a mapped table', { installed: 'elsewhere', mapped: true }, 'no: copied'],
    ['of a schema that nobody used', { installed: 'elsewhere', contents: NONE }, 'first, walpost_app, deliver'],
    ['with dead letters only', { installed: 'elsewhere', contents: { ...NONE, deadLetters: 1 } }, 'no: copied'],
    [
      'with a relay of another source',
      { installed: 'elsewhere', contents: NONE, cursors: [others('a')] },
      'no: copied',
    ],
    ['of rows only, into a schema that was installed here', { contents: { ...ROWS, areForeign: true } }, 'no: copied'],
    ['as far as is known', { installed: 'unknown' }, 'no: copied'],
    ['before anything is counted', { cursors: [copied('a')], contents: undefined }, 'count, a'],
    ['that was decided about before', { installed: 'elsewhere', cursors: [cursor('a')] }, 'continue, a'],
  ])('%s', (_name, facts, expected) => {
    expect(decide(facts)).toBe(expected);
  });
});
