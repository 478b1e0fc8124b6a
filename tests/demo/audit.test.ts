import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Arrival, audit, isClean, type WrittenEvent } from '../../src/demo/audit.ts';

const event = (organizationId: string, number: number, committed = true): WrittenEvent => ({
  eventId: `${organizationId}-${number}`,
  eventType: 'order.placed',
  organizationId,
  number,
  committed,
});
const arrivalOf = ({ eventId, organizationId, number }: WrittenEvent): Arrival => ({ eventId, organizationId, number });

const [a1, a2, a3, b1, b2] = [event('a', 1), event('a', 2), event('a', 3), event('b', 1), event('b', 2)];
const lost = event('a', 4, false);
const written = [a1, a2, a3, b1, b2, lost];
const all = [a1, b1, a2, b2, a3].map(arrivalOf);
const clean = {
  committed: 5,
  rolledBack: 1,
  delivered: 5,
  missing: 0,
  duplicates: 0,
  outOfOrder: 0,
  rolledBackDelivered: 0,
  unexpected: 0,
};

describe('audit', () => {
  test('is clean when all committed events arrive, each organization in its order', () => {
    expect(audit(written, all)).toEqual(clean);
    expect(isClean(audit(written, all))).toBe(true);
  });

  test.each<[string, Arrival[], Partial<typeof clean>]>([
    ['one is missing', all.slice(0, -1), { delivered: 4, missing: 1 }],
    ['two of one organization are swapped', [a2, a1, a3, b1, b2].map(arrivalOf), { outOfOrder: 1 }],
    ['a rolled back one arrives', [...all, arrivalOf(lost)], { rolledBackDelivered: 1 }],
    ['one arrives that nobody wrote', [...all, arrivalOf(event('a', 9))], { unexpected: 1 }],
    ['one arrives under another organization', [...all, { ...arrivalOf(a1), organizationId: 'b' }], { unexpected: 1 }],
    ['one arrives with another payload', [...all, { ...arrivalOf(a1), number: 7 }], { unexpected: 1 }],
  ])('fails when %s', (_name, arrivals, difference) => {
    expect(audit(written, arrivals)).toEqual({ ...clean, ...difference });
    expect(isClean(audit(written, arrivals))).toBe(false);
  });

  test('counts a repetition as a duplicate, and not against the order', () => {
    const result = audit(written, [...all, arrivalOf(a1), arrivalOf(b1)]);
    expect(result).toEqual({ ...clean, duplicates: 2 });
    expect(isClean(result)).toBe(true);
  });

  test('an event of another organization never counts against the order', () => {
    expect(audit(written, [b1, b2, a1, a2, a3].map(arrivalOf))).toEqual(clean);
  });

  test('dropping any events is found exactly, and any other order inside an organization is found', () => {
    const numbers = fc.uniqueArray(fc.nat(50), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(numbers, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), (order, drop) => {
        const events = order.toSorted((x, y) => x - y).map((number) => event('a', number));
        const arrivals = order.filter((_, index) => !drop[index]).map((number) => arrivalOf(event('a', number)));
        const result = audit(events, arrivals);
        const sorted = arrivals.every(
          (arrival, index) => index === 0 || (arrivals[index - 1]?.number ?? 0) < arrival.number,
        );
        expect(result.missing).toBe(events.length - arrivals.length);
        expect(result.outOfOrder > 0).toBe(!sorted);
      }),
    );
  });
});
