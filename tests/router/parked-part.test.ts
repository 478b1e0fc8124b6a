import { describe, expect, test } from 'vitest';
import { ParkedPart } from '../../src/router/lanes/parked-part.ts';
import { event, makeOrigin } from './harness.ts';

const page = (count: number, last: string | null = null) => ({ count, last });

describe('a part in Postgres is read', () => {
  test('only after all that was put in front of its rows is durable', () => {
    const part = new ParkedPart(true);
    part.insertBehind(5);
    expect(part.canRead(0)).toBe(true);
    part.insertInFront(2); // becomes durable after the five
    part.durable(5);
    expect(part.canRead(0)).toBe(false);
    part.durable(2);
    expect(part.canRead(0)).toBe(true);
  });

  test('not before an event that arrived before the end of the resend, and was not visible, is durable', () => {
    const part = new ParkedPart(true);
    part.restored(true);
    part.insertBehind(1);
    part.addIncoming(event('x', 'hidden', { origin: makeOrigin({ visible: false }) }));
    expect(part.canRead(0)).toBe(false);
    part.resent();
    part.insertInFront(2); // the sum counts: the hidden event is older than these, and is not on its way
    part.durable(1);
    part.durable(2);
    expect(part.canRead(0)).toBe(false);
    part.insertBehind(1);
    part.durable(1);
    expect(part.canRead(0)).toBe(true);
  });

  test('from the first row only when no row is being removed', () => {
    const part = new ParkedPart(true);
    expect([part.canRead(1), part.canRead(0)]).toEqual([false, true]);
    part.endRead(part.beginRead(), page(3, 'c'));
    expect([part.readAfter, part.canRead(1)]).toEqual(['c', true]);
    part.insertInFront(0);
    expect([part.readAfter, part.canRead(1)]).toEqual([null, false]);
  });
});

describe('a lane is live again', () => {
  test('after a read from the first row that found nothing', () => {
    const part = new ParkedPart(true);
    part.endRead(part.beginRead(), page(3, 'c'));
    expect(part.endRead(part.beginRead(), page(0))).toBe(false);
    expect(part.readAfter).toBeNull();
    expect(part.endRead(part.beginRead(), page(0))).toBe(true);
  });

  test.each([
    ['was on its way before the read', (part: ParkedPart) => part.insertBehind(1), () => undefined],
    ['is on its way after it', () => undefined, (part: ParkedPart) => part.insertBehind(1)],
    [
      'became durable during it',
      () => undefined,
      (part: ParkedPart) => {
        part.insertBehind(1);
        part.durable(1);
      },
    ],
  ])('not when something %s', (_name, before, during) => {
    const part = new ParkedPart(true);
    before(part);
    const mark = part.beginRead();
    during(part);
    expect(part.endRead(mark, page(0))).toBe(false);
  });
});

test('what arrives leaves up to the first event that is not visible', () => {
  const part = new ParkedPart(false);
  const hidden = makeOrigin({ visible: false });
  const origins = [makeOrigin(), hidden, makeOrigin()];
  expect(origins.map((origin, index) => part.addIncoming(event('x', `${index}`, { origin })))).toEqual([1, 2, 3]);
  const names = (): string[] => part.takeVisible().events.map(({ eventId }) => eventId);
  expect(part.takeVisible()).toMatchObject({ events: [{ eventId: '0' }], left: true });
  expect(names()).toEqual([]);
  hidden.visible = true;
  expect(names()).toEqual(['1', '2']);
  expect([part.hasRows, part.takeVisible()]).toEqual([false, { events: [], left: false }]);
});

test('more can not become durable than is on its way', () => {
  const part = new ParkedPart(true);
  part.insertBehind(1);
  expect(() => part.durable(2)).toThrow('more parked events');
});
