import { describe, expect, test } from 'vitest';
import { type FateQuestion, slotFate } from '../../src/slot/slot-fate.ts';
import type { SlotFacts, SlotState } from '../../src/slot/slot-state.ts';

const HERE = { systemIdentifier: '7', timeline: 1 };

function facts(more: Partial<SlotFacts> = {}): SlotFacts {
  return {
    name: 'slot',
    type: 'logical',
    plugin: 'pgoutput',
    database: 'app',
    restartLsn: 50n,
    confirmedFlushLsn: 100n,
    walStatus: 'reserved',
    invalidationReason: null,
    retainedBytes: 0,
    unconfirmedBytes: 0,
    safeBytes: null,
    holder: null,
    ...more,
  };
}

const healthy = (confirmedFlushLsn: bigint | null): SlotState => ({
  kind: 'healthy',
  facts: facts({ confirmedFlushLsn }),
});
const missing: SlotState = { kind: 'missing' };
const lost: SlotState = { kind: 'lost', facts: facts({ walStatus: 'lost', restartLsn: null }) };

function fate(question: Partial<FateQuestion>) {
  const cursor = { recorded: HERE, lsn: 100n };
  const whole = { slot: missing, cursor, server: HERE, walEnd: 1_000n, futureKnown: false, ...question };
  const answer = slotFate(whole);
  return answer.kind === 'lost' ? `${answer.loss.code}${answer.loss.proves ? '' : ', nothing proven'}` : answer.kind;
}

describe('with a cursor that has a position', () => {
  test.each<[string, SlotState, string]>([
    ['behind the cursor', healthy(99n), 'sound'],
    ['at the cursor', healthy(100n), 'sound'],
    ['beyond the cursor', healthy(101n), 'SLOT_REPLACED'],
    ['missing', missing, 'SLOT_LOST'],
    ['lost', lost, 'SLOT_LOST'],
    ['in use', { kind: 'in_use', facts: facts() }, 'unfit'],
    ['of another database', { kind: 'other_database', facts: facts() }, 'unfit'],
    ['of another plugin', { kind: 'other_plugin', facts: facts() }, 'unfit'],
    ['physical', { kind: 'physical', facts: facts() }, 'unfit'],
  ])('a slot that is %s', (_name, slot, expected) => {
    expect(fate({ slot })).toBe(expected);
  });
});

describe('before the cursor has a position', () => {
  test.each<[string, SlotState, string]>([
    ['a healthy slot', healthy(100n), 'unknown'],
    ['no slot', missing, 'first'],
    ['a lost slot', lost, 'first'],
  ])('%s', (_name, slot, expected) => {
    expect(fate({ slot, cursor: { recorded: HERE, lsn: null } })).toBe(expected);
    expect(fate({ slot, cursor: { recorded: null, lsn: null } })).toBe(expected);
  });
});

test('another cluster, or a cursor or checkpoints ahead of the server, prove nothing, whatever the slot looks like', () => {
  for (const slot of [healthy(99n), healthy(101n), missing, lost]) {
    expect(fate({ slot, server: { ...HERE, systemIdentifier: '8' } })).toBe('CLUSTER_CHANGED, nothing proven');
    expect(fate({ slot, walEnd: 99n })).toBe('CURSOR_AHEAD, nothing proven');
    expect(fate({ slot, futureKnown: true })).toBe('CURSOR_AHEAD, nothing proven');
  }
  const taken: SlotState = { kind: 'in_use', facts: facts() };
  expect(fate({ slot: taken, server: { ...HERE, systemIdentifier: '8' } })).toBe('unfit');
});

test('another timeline of the same cluster is no loss in itself', () => {
  expect(fate({ slot: healthy(100n), server: { ...HERE, timeline: 2 } })).toBe('sound');
  expect(fate({ slot: healthy(101n), server: { ...HERE, timeline: 2 } })).toBe('SLOT_REPLACED');
});
