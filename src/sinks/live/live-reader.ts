/**
 * One open stream.
 *
 * It is written to without waiting. What the socket does not take gathers in memory up to a limit; beyond it the reader is
 * dropped, so a reader who stalls costs that much and holds nobody up.
 */
import type { ServerResponse } from 'node:http';
import { orAborted } from '../../or-aborted.ts';
import { controlFrame, HEARTBEAT } from './live-frames.ts';
import type { LiveEntry } from './live-ring.ts';

/** slow: it read too slowly; unavailable: the database did not answer; gone: it went by itself. */
export const END_REASONS = ['slow', 'token_expired', 'not_leader', 'stopping', 'unavailable', 'gone'] as const;
export type EndReason = (typeof END_REASONS)[number];

/** Names; a set that is empty chooses nothing, one that is absent everything. */
export interface LiveFilter {
  readonly topics: ReadonlySet<string> | undefined;
  readonly types: ReadonlySet<string> | undefined;
}

export interface LiveReaderOptions {
  readonly response: ServerResponse;
  readonly organizationId: string;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
  readonly filter: LiveFilter;
  readonly maxBuffered: number;
  /** Called once. */
  readonly onEnd: (reader: LiveReader, reason: EndReason) => void;
}

export class LiveReader {
  readonly organizationId: string;
  readonly expiresAt: number;
  /** It is told of events as they come; before, it reads what it has missed. */
  isLive = false;
  /** On the clock that never jumps. */
  lastWrite = 0;
  private readonly options: LiveReaderOptions;
  private readonly over = new AbortController();

  constructor(options: LiveReaderOptions) {
    this.options = options;
    this.organizationId = options.organizationId;
    this.expiresAt = options.expiresAt;
    options.response.on('close', () => this.finish('gone')).on('error', () => this.finish('gone'));
  }

  /** Aborted when the stream has ended. */
  get ended(): AbortSignal {
    return this.over.signal;
  }

  get isFull(): boolean {
    return this.options.response.writableLength > this.options.maxBuffered;
  }

  /** Writes those that the reader wants; `whole` is all of them in one piece. Gives back how many. */
  send(entries: readonly LiveEntry[], whole?: Buffer): number {
    const wanted = this.chosen(entries);
    if (wanted.length === entries.length && whole !== undefined) this.write(whole);
    else for (const { frame } of wanted) this.write(frame);
    return wanted.length;
  }

  write(bytes: Buffer): void {
    if (!this.ended.aborted) this.options.response.write(bytes);
  }

  heartbeat(): void {
    this.write(HEARTBEAT);
  }

  /** Ends the stream with a last message that says why. One that does not read gets none. */
  end(reason: Exclude<EndReason, 'gone'>): void {
    const { response } = this.options;
    if (this.ended.aborted) return;
    this.finish(reason);
    if (reason === 'slow') response.destroy();
    else response.end(controlFrame('end', { reason }));
  }

  /** Resolves when the socket has taken everything, or the stream has ended, or the signal aborts. */
  async drained(signal: AbortSignal): Promise<void> {
    const { response } = this.options;
    if (!response.writableNeedDrain) return;
    let taken = (): void => undefined;
    const draining = new Promise<void>((resolve) => response.once('drain', (taken = resolve)));
    await orAborted(draining, AbortSignal.any([signal, this.ended])).catch(() => undefined);
    response.off('drain', taken);
  }

  private chosen(entries: readonly LiveEntry[]): readonly LiveEntry[] {
    const { topics, types } = this.options.filter;
    if (topics === undefined && types === undefined) return entries;
    return entries.filter(({ topic, eventType }) => (topics?.has(topic) ?? true) && (types?.has(eventType) ?? true));
  }

  private finish(reason: EndReason): void {
    if (this.ended.aborted) return;
    this.over.abort();
    this.options.onEnd(this, reason);
  }
}
