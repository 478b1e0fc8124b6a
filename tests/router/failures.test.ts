import { describe, expect, test } from 'vitest';
import type { Batch, Verdict, Verdicts } from '../../src/pipeline.ts';
import { DELIVERED } from '../../src/pipeline.ts';
import { event, Harness } from './harness.ts';

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`);
const REFUSED: Verdicts = { kind: 'failed', reason: '422 unprocessable' };
const DOWN: Verdicts = { kind: 'unavailable', reason: 'connection refused' };
const hasPoison = (batch: Batch): boolean => batch.events.some((each) => each.eventId.startsWith('poison'));

/** The events of the organization as they were delivered, each at its first time. */
function delivered(harness: Harness, accepted: ReadonlySet<string>): string[] {
  return [...new Set(harness.sent.filter((sent) => accepted.has(sent.events.join())).flatMap((sent) => sent.events))];
}

describe('a poison event in a batch of 100', () => {
  test.each([0, 1, 12, 24, 25, 37, 49, 50, 63, 98, 99])(
    'at place %i: 99 delivered in order, one dead letter, at most 15 requests',
    async (place) => {
      const accepted = new Set<string>();
      const harness = new Harness({
        answer: (batch) => {
          if (hasPoison(batch)) return REFUSED;
          accepted.add(batch.events.map((each) => each.eventId).join());
          return DELIVERED;
        },
      });
      const all = ids(100).map((id, index) => (index === place ? 'poison' : id));
      harness.accept('x', ...all);
      await harness.clock.advance(3_600_000);
      expect(harness.letters.map((letter) => [letter.reason, (letter.item as { eventId: string }).eventId])).toEqual([
        ['failed', 'poison'],
      ]);
      expect(harness.settled).toBe(100);
      expect(delivered(harness, accepted)).toEqual(all.filter((id) => id !== 'poison'));
      expect(harness.sent.length).toBeLessThanOrEqual(15);
    },
  );

  test('several poison events are each found', async () => {
    const harness = new Harness({ answer: (batch) => (hasPoison(batch) ? REFUSED : DELIVERED) });
    harness.accept('x', ...ids(100).map((id, index) => (index % 30 === 7 ? `poison${id}` : id)));
    await harness.clock.advance(7_200_000);
    expect(harness.letters.map((letter) => (letter.item as { eventId: string }).eventId)).toEqual([
      'poison7',
      'poison37',
      'poison67',
      'poison97',
    ]);
    expect(harness.settled).toBe(100);
  });
});

describe('a receiver that is broken', () => {
  test('and refuses everything makes no dead letters, and is asked in full only thrice', async () => {
    const harness = new Harness({ answer: () => REFUSED });
    harness.accept('x', ...ids(100));
    await harness.clock.advance(3_600_000);
    expect(harness.letters).toEqual([]);
    expect(harness.sent.filter((sent) => sent.events.length > 1).map((sent) => sent.events.length)).toEqual([
      100, 50, 25,
    ]);
    harness.answer = () => DELIVERED;
    await harness.clock.advance(60_000);
    expect(harness.settled).toBe(100);
    expect(harness.letters).toEqual([]);
  });

  test('and answers nothing costs no event an attempt, for a day', async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', '1', '2', '3');
    await harness.clock.advance(86_000_000);
    expect(harness.letters).toEqual([]);
    harness.answer = () => DELIVERED;
    await harness.clock.advance(20_000);
    expect(harness.batches.at(-1)).toBe('x:1,2,3');
    expect(harness.settled).toBe(3);
  });

  test('is retried quickly twice, then with growing patience, never faster than it asks', async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', '1');
    await harness.clock.advance(30_000);
    const waits = harness.sent.slice(1).map((sent, index) => sent.at - (harness.sent[index]?.at ?? 0));
    expect(waits.slice(0, 5)).toEqual([100, 500, 1500, 3000, 6000]);
    const asking = new Harness({ answer: () => ({ kind: 'unavailable', reason: '429', retryAfter: 20_000 }) });
    asking.accept('x', '1');
    await asking.clock.advance(25_000);
    expect(asking.sent.map((sent) => sent.at)).toEqual([250, 20_250]);
  });
});

describe('the waits of an event that is refused', () => {
  /** In seconds. Another organization has an event every tenth of a second. */
  async function waits(delivery: object, events: readonly string[]): Promise<readonly number[]> {
    const harness = new Harness({
      config: { delivery },
      answer: (batch) => (hasPoison(batch) ? REFUSED : DELIVERED),
    });
    harness.accept('x', ...events);
    for (let n = 0; n < 6_000; n += 1) {
      harness.accept('y', `${n}`);
      await harness.clock.advance(100);
    }
    expect(harness.letters).toHaveLength(1);
    const tries = harness.sent.filter((sent) => sent.events.join() === 'poison').map((sent) => sent.at / 1_000);
    return tries.slice(1).map((at, n) => Math.round(at - (tries[n] ?? 0)));
  }

  test.each([
    ['the defaults', {}, [0, 120]],
    ['1, 2 and 4 minutes', { max_attempts: 5, backoff: ['1m', '1m', '2m', '4m'] }, [0, 60, 120, 240]],
  ])('alone: the first is no wait, since nobody knows yet whose fault it is; %s', async (_, delivery, expected) => {
    expect(await waits(delivery, ['poison'])).toEqual(expected);
  });

  test('together with others that are accepted: the fault is known, and each wait is one of backoff', async () => {
    expect(await waits({}, ['good', 'poison'])).toEqual([60, 120]);
  });
});

describe('an event at which the receiver answers 500', () => {
  const crash: Verdicts = { kind: 'unavailable', reason: '500', answered: true };

  test('while others succeed is a dead letter after three attempts', async () => {
    const harness = new Harness({ answer: (batch) => (hasPoison(batch) ? crash : DELIVERED) });
    harness.accept('x', 'poison');
    for (let i = 0; i < 2000; i += 1) {
      harness.accept('y', `${i}`);
      await harness.clock.advance(300);
    }
    expect(harness.sent.filter((sent) => sent.organization === 'x')).toHaveLength(3);
    expect(harness.letters.map((letter) => [letter.reason, letter.attempts])).toEqual([['failed', 3]]);
  });

  test('while nothing succeeds waits', async () => {
    const harness = new Harness({ answer: () => crash });
    harness.accept('x', 'poison');
    harness.accept('y', '1');
    await harness.clock.advance(3_600_000);
    expect(harness.letters).toEqual([]);
  });
});

describe('answers for each event', () => {
  test('what was delivered settles, what was rejected is a dead letter, the rest stays in order', async () => {
    const harness = new Harness();
    let first = true;
    harness.answer = (batch) => {
      if (!first) return DELIVERED;
      first = false;
      return batch.events.map((each) =>
        each.eventId === '1'
          ? DELIVERED
          : each.eventId === '2'
            ? { kind: 'rejected', reason: 'gone' }
            : { kind: 'unavailable', reason: 'not tried' },
      );
    };
    harness.accept('x', '1', '2', '3', '4');
    await harness.clock.advance(250);
    harness.accept('x', '5');
    await harness.clock.advance(1000);
    expect(harness.batches).toEqual(['x:1,2,3,4', 'x:3,4,5']);
    expect(harness.letters.map((letter) => letter.detail)).toEqual(['gone']);
    expect(harness.settled).toBe(5);
  });

  test('later events of a failing lane never overtake', async () => {
    let failing = true;
    const harness = new Harness({ answer: () => (failing ? DOWN : DELIVERED) });
    for (let i = 0; i < 40; i += 1) {
      harness.router.accept(event('x', `${i}`));
      if (i === 20) failing = false;
      await harness.clock.advance(100);
    }
    await harness.clock.advance(20_000);
    const order = [...new Set(harness.sent.flatMap((sent) => sent.events))];
    expect(order).toEqual(ids(40));
    expect(harness.settled).toBe(40);
  });

  test('the tries of an event that is refused for good are told, and are not those of the next one', async () => {
    const failed: Verdict = { kind: 'failed', reason: '422' };
    const answers: Record<string, Verdict[]> = {
      poison: [failed, failed, { kind: 'rejected', reason: 'gone' }],
      next: [failed],
    };
    const harness = new Harness({
      answer: ({ events: [first] }) => answers[first?.eventId ?? '']?.shift() ?? DELIVERED,
    });
    harness.accept('x', 'poison');
    for (let n = 0; n < 1_000; n += 1) {
      harness.accept('y', `${n}`);
      if (n === 10) harness.accept('x', 'next');
      await harness.clock.advance(300);
    }
    expect(harness.sent.filter(({ organization }) => organization === 'x').map(({ events }) => events.join())).toEqual([
      'poison',
      'poison',
      'poison',
      'next',
      'next',
    ]);
    expect(harness.letters.map(({ item, reason, attempts }) => [item.eventId, reason, attempts])).toEqual([
      ['poison', 'rejected', 3],
    ]);
  });

  test('an event that is refused for good says nothing of a destination that is away', async () => {
    const gone: Verdict = { kind: 'rejected', reason: 'gone' };
    const harness = new Harness({
      config: { delivery: { unavailable_for: '1h' } },
      answer: (batch) => batch.events.map(({ eventId }) => (eventId.startsWith('bad') ? gone : DOWN)),
    });
    harness.accept('x', 'good');
    await harness.clock.advance(1_800_000);
    harness.accept('x', 'bad-2');
    await harness.clock.advance(1_830_000);
    expect(harness.letters.map(({ item, reason }) => [item.eventId, reason])).toEqual([
      ['bad-2', 'rejected'],
      ['good', 'unavailable'],
    ]);
  });

  test('nothing follows a dead letter before it is durable: a crash would bring it back behind', async () => {
    const harness = new Harness({
      answer: (batch) => (hasPoison(batch) ? { kind: 'rejected', reason: 'gone' } : DELIVERED),
    });
    harness.lettersStall = true;
    harness.accept('x', 'poison');
    await harness.clock.advance(1000);
    harness.accept('x', '1', '2');
    await harness.clock.advance(60_000);
    expect(harness.batches).toEqual(['x:poison']);
    for (const stored of harness.unstored.splice(0)) stored();
    await harness.clock.advance(20_000);
    expect(harness.batches).toEqual(['x:poison', 'x:1,2']);
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  });
});

test('what was not sent for want of time goes on at once, in order, and nothing has failed', async () => {
  const attempts: number[] = [];
  const harness = new Harness({
    answer: ({ events, attempt }) => {
      attempts.push(attempt);
      const rest: Verdicts = { kind: 'unavailable', reason: 'not sent: no time was left for it', unsent: true };
      return events.map((_, index) => (index < 2 ? DELIVERED : rest));
    },
  });
  harness.accept('x', ...ids(5));
  await harness.clock.advance(250);
  expect(harness.sent.map(({ events }) => events)).toEqual([ids(5), ids(5).slice(2), ids(5).slice(4)]);
  expect(attempts).toEqual([1, 1, 1]);
  expect(harness.settled).toBe(5);
});
