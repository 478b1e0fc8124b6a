import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Event } from '../../src/event.ts';
import { PageTicket } from '../../src/jobs/page-ticket.ts';
import {
  type ScanPlace,
  runScan,
  ScanCancelled,
  type ScanOutlet,
  type ScanPage,
  type ScanProgress,
} from '../../src/jobs/scan.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';
import { sampleEvent } from '../support/sample-event.ts';

/** Pages of events; remembers what was read, and settles nothing by itself. */
class Stand implements ScanOutlet {
  readonly accepted: Event[] = [];
  readonly reads: (string | null)[] = [];
  readonly tickets: PageTicket[] = [];
  ended: string | undefined;
  private readonly pages: readonly number[];

  constructor(...pages: number[]) {
    this.pages = pages;
  }

  readonly source = {
    read: (after: ScanPlace | null, ticket: PageTicket): Promise<ScanPage> => {
      const page = this.reads.length;
      this.reads.push(after?.seq ?? null);
      this.tickets.push(ticket);
      const items = Array.from({ length: this.pages[page] ?? 0 }, () => ({ item: sampleEvent({ origin: ticket }) }));
      const place = { xid: '1', seq: String(page) };
      return Promise.resolve({ items, scanned: 10, place, last: page === this.pages.length - 1, keepsUnrouted: false });
    },
  };

  acceptOfJob(event: Event): string[] {
    event.origin.expect(1);
    this.accepted.push(event);
    return ['hook'];
  }

  acceptUnrouted(): void {
    expect.unreachable();
  }

  acceptAt(): void {
    expect.unreachable();
  }

  acceptPoison(): void {
    expect.unreachable();
  }

  endJob(job: string): void {
    this.ended = job;
  }

  settle(count: number): void {
    for (const event of this.accepted.splice(0, count)) event.origin.settle();
  }
}

interface Running {
  readonly saved: ScanProgress[];
  readonly done: Promise<unknown>;
  readonly abort: AbortController;
}

interface More {
  readonly rate?: number;
  readonly clock?: ManualClock;
  readonly cancelled?: AbortSignal;
  readonly save?: () => Promise<void>;
}

function run(stand: Stand, more: More = {}): Running {
  const saved: ScanProgress[] = [];
  const abort = new AbortController();
  const done = runScan(
    {
      job: 'replay-1',
      source: stand.source,
      outlet: stand,
      clock: more.clock ?? systemClock,
      from: null,
      rate: more.rate,
      cancelled: more.cancelled,
      save: async (progress) => {
        saved.push(progress);
        await more.save?.();
      },
    },
    abort.signal,
  ).then(
    () => 'done',
    (error: unknown) => error,
  );
  return { saved, done, abort };
}

test('two pages are out at most, and places are saved in order as they settle', async () => {
  const stand = new Stand(2, 2, 2, 0, 1);
  const { saved, done } = run(stand);
  await settleMicrotasks();
  expect(stand.reads).toEqual([null, '0']);
  const [first, second] = [stand.accepted.slice(0, 2), stand.accepted.slice(2, 4)];
  for (const event of second) event.origin.settle(); // the later page settles first
  await settleMicrotasks();
  expect(saved).toEqual([]);
  expect(stand.reads).toEqual([null, '0']);
  for (const event of first) event.origin.settle();
  await settleMicrotasks();
  expect(saved.map(({ place, settled }) => [place?.seq, settled])).toEqual([
    ['0', 2],
    ['1', 2],
  ]);
  expect(stand.ended).toBeUndefined();
  for (const event of stand.accepted.slice(4)) event.origin.settle();
  await settleMicrotasks();
  for (const event of stand.accepted.slice(6)) event.origin.settle();
  expect(await done).toBe('done');
  expect(saved.map(({ scanned }) => scanned)).toEqual([10, 10, 10, 10, 10]);
  expect(stand.ended).toBe('replay-1');
});

test('when saving fails nothing more is read, and the job ends once what is out has settled', async () => {
  const stand = new Stand(1, 1, 1);
  const { done, saved } = run(stand, { save: () => Promise.reject(new Error('cancelled')) });
  await settleMicrotasks();
  stand.settle(1);
  await settleMicrotasks();
  expect(stand.reads.length).toBe(2);
  expect(stand.ended).toBeUndefined();
  stand.settle(1);
  expect(await done).toMatchObject({ message: 'cancelled' });
  expect(saved.length).toBe(1); // a place behind a page that was not saved would pass over it
  expect(stand.ended).toBe('replay-1');
});

test('of a cancelled job the page that was handed on is saved too, before its end', async () => {
  const stand = new Stand(1, 1, 1);
  const { done, saved } = run(stand, { save: () => Promise.reject(new ScanCancelled()) });
  await settleMicrotasks();
  stand.settle(1);
  await settleMicrotasks();
  expect(saved.length).toBe(1);
  stand.settle(1);
  expect(await done).toBeInstanceOf(ScanCancelled);
  expect(saved.map(({ place }) => place?.seq)).toEqual(['0', '1']);
  expect(stand.reads.length).toBe(2);
});

test('an abort ends it at once, whatever is out', async () => {
  const stand = new Stand(1, 1, 1);
  const { done, abort, saved } = run(stand);
  await settleMicrotasks();
  abort.abort(new Error('the connection ended'));
  expect(await done).toMatchObject({ message: 'the connection ended' });
  expect(saved).toEqual([]);
});

test('a rate bounds the events of a second', async () => {
  const clock = new ManualClock();
  const stand = new Stand(10, 10, 10);
  run(stand, { rate: 10, clock });
  await settleMicrotasks();
  stand.settle(10);
  await clock.advance(999);
  expect(stand.reads.length).toBe(1);
  await clock.advance(1);
  expect(stand.reads.length).toBe(2);
});

test('a slow job that is cancelled ends at once, and not with its next page', async () => {
  const stand = new Stand(1, 1, 1);
  const cancelled = new AbortController();
  const { done, saved } = run(stand, { rate: 0.02, clock: new ManualClock(), cancelled: cancelled.signal });
  await settleMicrotasks();
  cancelled.abort();
  await settleMicrotasks();
  expect(stand.ended).toBeUndefined(); // what was handed on is still delivered
  stand.settle(1);
  expect(await done).toBeInstanceOf(ScanCancelled);
  expect({ ended: stand.ended, saved: saved.length, reads: stand.reads.length }).toEqual({
    ended: 'replay-1',
    saved: 1,
    reads: 1,
  });
});

test('a slow job ends with its last page, and not a page later', async () => {
  const stand = new Stand(1);
  const { done } = run(stand, { rate: 0.02, clock: new ManualClock() });
  await settleMicrotasks();
  stand.settle(1);
  expect(await done).toBe('done');
});

test('a page that is settled more often than expected is a defect', () => {
  const ticket = new PageTicket('heal-1', 0);
  ticket.expect(1);
  ticket.settle();
  expect(() => ticket.settle()).toThrow('settled more often than expected');
});
