/**
 * One scan, three sources: a heal and a replay read the outbox, a redrive reads the dead letters.
 *
 * A scan goes page by page. The events of a page enter the lanes like those of a transaction and settle like them:
 * delivered, parked or stored as dead letters. When a page has settled its place is saved, so that a job that was killed
 * goes on behind it. Two pages are in memory at most: while one settles, the next is read and handed on, no more.
 *
 * Rows are read in (created_xid, seq) order, which is the order in which transactions began, not that of their commits:
 * the table does not know that one. Inside a transaction it is the order of the inserts.
 */
import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import type { Event, Poison } from '../event.ts';
import { PageTicket } from './page-ticket.ts';

/** Behind which row a scan goes on. */
export interface Place {
  /** Text of an xid8. */
  readonly xid: string;
  /** Text of a bigint. */
  readonly seq: string;
}

export interface ScanItem {
  readonly item: Event | Poison;
  /** Of the sinks that the routes name only these; all when it is left out. */
  readonly sinks?: readonly string[];
  /** This sink, whatever the routes name by now. */
  readonly at?: string;
}

export interface ScanPage {
  readonly items: readonly ScanItem[];
  /** Rows that were looked at, wanted or not. */
  readonly scanned: number;
  /** The last row that was looked at; null when there was none. */
  readonly place: Place | null;
  /** There is nothing behind it. */
  readonly last: boolean;
  /** What has to be done once the page has settled, in the transaction that saves the place. */
  readonly finish?: (client: pg.ClientBase) => Promise<void>;
}

export interface PageLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

export interface ScanSource {
  read(after: Place | null, ticket: PageTicket, limits: PageLimits): Promise<ScanPage>;
}

/** Where the events go: the router. In their lanes the events of a job go before live events that come later. */
export interface ScanOutlet {
  accept(event: Event, sinks?: readonly string[]): void;
  acceptAt(event: Event, sink: string): void;
  acceptPoison(poison: Poison): void;
  /** All events of the job are settled: lanes that it led go on with what waited behind. */
  endJob(job: string): void;
}

export interface ScanOptions {
  readonly job: string;
  readonly source: ScanSource;
  readonly outlet: ScanOutlet;
  readonly clock: Clock;
  readonly from: Place | null;
  /** Events a second; without it as fast as they settle. */
  readonly rate?: number | undefined;
  /** A page has settled; the next but one is not read before this has resolved. Throwing ends the scan. */
  readonly save: (progress: ScanProgress) => Promise<void>;
}

/** What one page adds. */
export interface ScanProgress {
  readonly place: Place | null;
  readonly scanned: number;
  readonly settled: number;
  readonly finish: ScanPage['finish'];
}

export const PAGE_LIMITS: PageLimits = { maxRows: 2_000, maxBytes: 2 * 1024 ** 2 };

/** Runs to the end of the source; rejects with the signal's reason when it aborts. */
export async function runScan(options: ScanOptions, signal: AbortSignal): Promise<void> {
  const { job, outlet } = options;
  const out = new Set<PageTicket>();
  try {
    await scanPages(options, signal, out);
  } finally {
    // What was handed on before an error still goes first in its lanes.
    for (const ticket of out) await orAborted(ticket.settled, signal).catch(() => undefined);
    outlet.endJob(job);
  }
}

async function scanPages(options: ScanOptions, signal: AbortSignal, out: Set<PageTicket>): Promise<void> {
  const { job, source, clock, rate, save } = options;
  const limits = { ...PAGE_LIMITS, maxRows: Math.max(1, Math.min(PAGE_LIMITS.maxRows, Math.ceil(rate ?? Infinity))) };
  let place = options.from;
  let before: Promise<void> = Promise.resolve();
  for (let last = false; !last;) {
    const begun = clock.now();
    const ticket = new PageTicket(job, begun);
    const page = await orAborted(source.read(place, ticket, limits), signal);
    out.add(ticket);
    handOn(page, options.outlet);
    ticket.close();
    last = page.last;
    place = page.place ?? place;
    const progress = { place, scanned: page.scanned, settled: page.items.length, finish: page.finish };
    const done = Promise.all([before, ticket.settled]).then(() => {
      out.delete(ticket);
      return save(progress);
    });
    done.catch(() => undefined); // it is awaited below, maybe after another page was read
    await orAborted(before, signal);
    before = done;
    if (rate !== undefined) await pause(clock, (page.items.length * 1000) / rate - (clock.now() - begun), signal);
  }
  await orAborted(before, signal);
}

function handOn({ items }: ScanPage, outlet: ScanOutlet): void {
  for (const { item, sinks, at } of items) {
    if (item.kind === 'poison') outlet.acceptPoison(item);
    else if (at !== undefined) outlet.acceptAt(item, at);
    else outlet.accept(item, sinks);
  }
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
