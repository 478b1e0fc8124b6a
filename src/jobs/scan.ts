/**
 * One scan, three sources: a heal and a replay read the outbox, a redrive reads the dead letters.
 *
 * A scan goes page by page. The events of a page enter the lanes like those of a transaction and settle like them: delivered,
 * parked or stored as dead letters. When a page has settled, its place is saved. A replay or a redrive whose process was killed
 * continues after that place; a heal begins again. At most two pages are in memory: while one settles, the next is read and handed on.
 *
 * Rows are read in the order of (created_xid, seq): transactions in the order in which they began, since the table does not
 * know the order of commits, and inside a transaction the order of the inserts. So of two transactions that overlapped, the
 * one that committed first may come second; the stream would have brought them in commit order.
 */
import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import type { Event, Poison } from '../event.ts';
import { orAborted } from '../or-aborted.ts';
import { PageTicket } from './page-ticket.ts';

/** The row after which a scan continues. */
export interface ScanPlace {
  /** Text of an xid8. */
  readonly xid: string;
  /** Text of a bigint. */
  readonly seq: string;
}

export interface ScanItem {
  readonly item: Event | Poison;
  /** Of the sinks that the routes name only these; all when it is left out. */
  readonly sinks?: readonly string[];
  /** Of their lanes only these. */
  readonly lanes?: readonly string[];
  /** This sink, whatever the routes name by now, and the lane there that gave it up. */
  readonly at?: { readonly sink: string; readonly lane: string };
}

export interface ScanPage {
  readonly items: readonly ScanItem[];
  /** Rows that were read, wanted or not. */
  readonly scanned: number;
  /** The last row that was read; null when there was none. */
  readonly place: ScanPlace | null;
  /** There are no rows after this page. */
  readonly last: boolean;
  /** An event that no route matches stays where it is stored, instead of becoming a dead letter. */
  readonly keepsUnrouted: boolean;
  /** Runs once the page has settled, in the transaction that saves the place. `unrouted` events matched no route. */
  readonly finish?: (client: pg.ClientBase, unrouted: ReadonlySet<ScanItem>) => Promise<void>;
}

export interface ScanLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

export interface ScanSource {
  read(after: ScanPlace | null, ticket: PageTicket, limits: ScanLimits): Promise<ScanPage>;
}

/** Where the events go: the router. In their lanes the events of a job go before live events that come later. */
export interface ScanOutlet {
  /** Gives back the sinks that it went to; null when no route matches, and then nothing was done. */
  acceptOfJob(event: Event, only?: Pick<ScanItem, 'sinks' | 'lanes'>): readonly string[] | null;
  /** Like an event of the stream that no route matches. */
  acceptUnrouted(event: Event): void;
  /** Into the lane of one sink that gave it up. */
  acceptAt(event: Event, sink: string, lane: string): void;
  acceptPoison(poison: Poison): void;
  /** All events of the job are settled: lanes that it led go on with what waited after it. */
  endJob(job: string): void;
}

export interface ScanOptions {
  readonly job: string;
  readonly source: ScanSource;
  readonly outlet: ScanOutlet;
  readonly clock: Clock;
  readonly from: ScanPlace | null;
  /** Events a second; without it as fast as they settle. */
  readonly rate?: number | undefined;
  /** The job was cancelled: it does not wait for its next page. */
  readonly cancelled?: AbortSignal | undefined;
  /**
   * A page has settled; the next but one is not read before this has resolved. Throwing ends the scan, and no later page is
   * saved then; after ScanCancelled the one that was handed on already still is.
   */
  readonly save: (progress: ScanProgress) => Promise<void>;
}

/** What one page adds. */
export interface ScanProgress {
  readonly place: ScanPlace | null;
  readonly scanned: number;
  /** Events that went to a sink. */
  readonly settled: number;
  /** How many went to which. */
  readonly sent: SentCounts;
  /** Events that no route matches. */
  readonly unrouted: number;
  readonly finish: ((client: pg.ClientBase) => Promise<void>) | undefined;
}

/** Events by sink. */
export type SentCounts = Readonly<Record<string, number>>;

export function addCounts(first: SentCounts, second: SentCounts): SentCounts {
  const sum: Record<string, number> = { ...first };
  for (const [sink, count] of Object.entries(second)) sum[sink] = (sum[sink] ?? 0) + count;
  return sum;
}

/** The job was cancelled. Events that were already handed on are still delivered, so their page is finished like any other. */
export class ScanCancelled extends Error {}

export const SCAN_LIMITS: ScanLimits = { maxRows: 2_000, maxBytes: 2 * 1024 ** 2 };

/** Runs to the end of the source; rejects with the signal's reason when it aborts. */
export async function runScan(options: ScanOptions, signal: AbortSignal): Promise<void> {
  const { job, outlet } = options;
  const out = new Set<PageTicket>();
  try {
    await scanPages(options, signal, out);
  } finally {
    // Events that were handed on before an error still go first in their lanes.
    for (const ticket of out) await orAborted(ticket.settled, signal).catch(() => undefined);
    outlet.endJob(job);
  }
}

async function scanPages(options: ScanOptions, signal: AbortSignal, out: Set<PageTicket>): Promise<void> {
  const { job, source, clock, rate, cancelled, save } = options;
  const awake = cancelled ? AbortSignal.any([signal, cancelled]) : signal;
  const limits = { ...SCAN_LIMITS, maxRows: Math.max(1, Math.min(SCAN_LIMITS.maxRows, Math.ceil(rate ?? Infinity))) };
  let place = options.from;
  let before: Promise<void> = Promise.resolve();
  for (let last = false; !last;) {
    const begun = clock.now();
    const ticket = new PageTicket(job, begun);
    const page = await orAborted(source.read(place, ticket, limits), signal);
    out.add(ticket);
    const handed = handOn(page, options.outlet);
    ticket.close();
    last = page.last;
    place = page.place ?? place;
    const progress = progressOf(page, place, handed);
    const previous = before;
    before = Promise.all([previous.catch(unlessCancelled), ticket.settled]).then(() => {
      out.delete(ticket);
      return save(progress);
    });
    before.catch(() => undefined); // it is awaited below, maybe after another page was read
    await orAborted(previous, signal).catch(async (error: unknown) => {
      if (error instanceof ScanCancelled) await orAborted(before, signal);
      throw error;
    });
    if (rate !== undefined && !last) {
      await pause(clock, (page.items.length * 1000) / rate - (clock.now() - begun), awake);
    }
    if (!cancelled?.aborted) continue;
    await orAborted(before, signal);
    throw new ScanCancelled();
  }
  await orAborted(before, signal);
}

function unlessCancelled(error: unknown): void {
  if (!(error instanceof ScanCancelled)) throw error;
}

interface Handed {
  settled: number;
  readonly sent: Record<string, number>;
  readonly unrouted: Set<ScanItem>;
}

function handOn({ items, keepsUnrouted }: ScanPage, outlet: ScanOutlet): Handed {
  const handed: Handed = { settled: 0, sent: {}, unrouted: new Set() };
  for (const each of items) {
    const { item, at } = each;
    if (item.kind === 'poison') {
      outlet.acceptPoison(item);
      continue;
    }
    const sinks = at === undefined ? outlet.acceptOfJob(item, each) : [at.sink];
    if (at !== undefined) outlet.acceptAt(item, at.sink, at.lane);
    if (sinks === null) {
      handed.unrouted.add(each);
      if (!keepsUnrouted) outlet.acceptUnrouted(item);
    } else if (sinks.length > 0) handed.settled += 1;
    for (const sink of sinks ?? []) handed.sent[sink] = (handed.sent[sink] ?? 0) + 1;
  }
  return handed;
}

function progressOf(page: ScanPage, place: ScanPlace | null, { settled, sent, unrouted }: Handed): ScanProgress {
  const { scanned, finish } = page;
  return {
    place,
    scanned,
    settled,
    sent,
    unrouted: unrouted.size,
    finish: finish && ((client) => finish(client, unrouted)),
  };
}
