import { describe, expect, test } from 'vitest';
import { type SlotEvidence, diagnoseSlot } from '../../src/slot/slot-diagnosis.ts';
import type { SlotFacts, SlotState } from '../../src/slot/slot-state.ts';

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
    unlimited: true,
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

function diagnosis(evidence: Partial<SlotEvidence>) {
  const cursor = { lsn: 100n };
  const whole = { slot: missing, cursor, walEnd: 1_000n, checkpointsAhead: false, ...evidence };
  const answer = diagnoseSlot(whole);
  return answer.kind === 'lost'
    ? `${answer.loss.code}${answer.loss.historyEnds ? ', nothing proven' : ''}`
    : answer.kind;
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
    expect(diagnosis({ slot })).toBe(expected);
  });
});

describe('before the cursor has a position', () => {
  test.each<[string, SlotState, string]>([
    ['a healthy slot', healthy(100n), 'unknown'],
    ['no slot', missing, 'first'],
    ['a lost slot', lost, 'first'],
  ])('%s', (_name, slot, expected) => {
    expect(diagnosis({ slot, cursor: { lsn: null } })).toBe(expected);
  });
});

test('a cursor or checkpoints ahead of the server prove nothing, whatever the slot looks like', () => {
  for (const slot of [healthy(99n), healthy(101n), missing, lost]) {
    expect(diagnosis({ slot, walEnd: 99n })).toBe('CURSOR_AHEAD, nothing proven');
    expect(diagnosis({ slot, checkpointsAhead: true })).toBe('CURSOR_AHEAD, nothing proven');
  }
  const taken: SlotState = { kind: 'in_use', facts: facts() };
  expect(diagnosis({ slot: taken, walEnd: 99n })).toBe('unfit');
});
