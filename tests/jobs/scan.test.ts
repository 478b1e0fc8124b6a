import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Event } from '../../src/event.ts';
import { PageTicket, withPageTickets } from '../../src/jobs/page-ticket.ts';
import { type Place, runScan, type ScanOutlet, type ScanPage, type ScanProgress } from '../../src/jobs/scan.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';
import { sampleEvent } from '../support/sample-event.ts';

/** Pages of events; remembers what was read, and settles nothing by itself. */
class Stand implements ScanOutlet {
  readonly accepted: Event[] = [];
  readonly reads: (string | null)[] = [];
  readonly tickets: PageTicket[] = [];
  ended: string | undefined;
  readonly settlement = withPageTickets({
    hold: () => expect.unreachable(),
    settle: () => expect.unreachable(),
  });
  private readonly pages: readonly number[];

  constructor(...pages: number[]) {
    this.pages = pages;
  }

  readonly source = {
    read: (after: Place | null, ticket: PageTicket): Promise<ScanPage> => {
      const page = this.reads.length;
      this.reads.push(after?.seq ?? null);
      this.tickets.push(ticket);
      const items = Array.from({ length: this.pages[page] ?? 0 }, () => ({ item: sampleEvent({ origin: ticket }) }));
      const place = { xid: '1', seq: String(page) };
      return Promise.resolve({ items, scanned: 10, place, last: page === this.pages.length - 1 });
    },
  };

  accept(event: Event): void {
    this.settlement.hold(event.origin, 1);
    this.accepted.push(event);
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
    for (const event of this.accepted.splice(0, count)) this.settlement.settle(event.origin);
  }
}

interface Running {
  readonly saved: ScanProgress[];
  readonly done: Promise<unknown>;
  readonly abort: AbortController;
}

function run(stand: Stand, more: { rate?: number; clock?: ManualClock; save?: () => Promise<void> } = {}): Running {
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
  for (const event of second) stand.settlement.settle(event.origin); // the later page settles first
  await settleMicrotasks();
  expect(saved).toEqual([]);
  expect(stand.reads).toEqual([null, '0']);
  for (const event of first) stand.settlement.settle(event.origin);
  await settleMicrotasks();
  expect(saved.map(({ place, settled }) => [place?.seq, settled])).toEqual([
    ['0', 2],
    ['1', 2],
  ]);
  expect(stand.ended).toBeUndefined();
  for (const event of stand.accepted.slice(4)) stand.settlement.settle(event.origin);
  await settleMicrotasks();
  for (const event of stand.accepted.slice(6)) stand.settlement.settle(event.origin);
  expect(await done).toBe('done');
  expect(saved.map(({ scanned }) => scanned)).toEqual([10, 10, 10, 10, 10]);
  expect(stand.ended).toBe('replay-1');
});

test('when saving fails nothing more is read, and the job ends once what is out has settled', async () => {
  const stand = new Stand(1, 1, 1);
  const { done } = run(stand, { save: () => Promise.reject(new Error('cancelled')) });
  await settleMicrotasks();
  stand.settle(1);
  await settleMicrotasks();
  expect(stand.reads.length).toBe(2);
  expect(stand.ended).toBeUndefined();
  stand.settle(1);
  expect(await done).toMatchObject({ message: 'cancelled' });
  expect(stand.ended).toBe('replay-1');
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

test('a page that is settled more often than held is a defect', () => {
  const ticket = new PageTicket('heal-1', 0);
  ticket.hold(1);
  ticket.settle();
  expect(() => ticket.settle()).toThrow('settled more often than held');
});
