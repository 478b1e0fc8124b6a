/**
 * All channels of this process, and the readers of them.
 *
 * A channel is open while the process leads. A term of a leader begins with empty rings: another process may have led meanwhile
 * and have sent what this one never saw. It ends all streams; their readers connect again, to whoever leads then.
 *
 * How a reader that comes back goes on is decided in live-resume.ts. Until it has caught up it is not told of new events: it
 * finds them in the ring, behind what it has missed, so there is no gap between the two.
 *
 * Memory is bounded by the limits of rings and readers: each ring by events and bytes, and all together by bytes, where the
 * channel that has been quiet for longest forgets first.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { LiveConfig } from '../../config/live.ts';
import { type Batch, DELIVERED, type Verdict } from '../../pipeline.ts';
import type { SinkLog } from '../../sink-context.ts';
import { LiveChannel, type Numbering } from './live-channel.ts';
import type { FrameForm } from './live-frames.ts';
import type { EndReason, LiveReader } from './live-reader.ts';
import { resume, type ResumeWay } from './live-resume.ts';
import { type LiveChannels, NOT_LEADING } from './live-sink.ts';
import type { LiveTerm } from './live-term.ts';
import { ScanTurns } from './scan-turns.ts';

/** Is told what happens, in numbers. */
export interface LiveWatcher {
  liveConnections(count: number): void;
  liveSent(count: number): void;
  liveEnded(reason: EndReason): void;
  liveResumed(way: ResumeWay): void;
}

export interface LiveHubOptions {
  readonly config: LiveConfig;
  readonly clock: Clock;
  readonly log: SinkLog;
  readonly watcher: LiveWatcher;
}

/** An open term: what it brings, and what begins anew with it. */
interface OpenTerm extends LiveTerm {
  readonly numbering: Numbering;
  readonly channels: Map<string, LiveChannel>;
  readonly closed: AbortController;
  /** Of all rings. */
  bytes: number;
  /** The highest number that a channel knew which is forgotten as a whole. */
  forgotten: number;
}

export type Admission = 'admitted' | 'closed' | 'full' | 'organization_full';

const SWEEP_MS = 1_000;
/** Maximum of pages of the past that are read at once for one organization. */
const PAGES_OF_ORGANIZATION = 2;

export class LiveHub implements LiveChannels {
  private readonly options: LiveHubOptions;
  private readonly form: FrameForm;
  private readonly readers = new Set<LiveReader>();
  private term: OpenTerm | undefined;
  private sweeping: Timer | undefined;

  constructor(options: LiveHubOptions) {
    this.options = options;
    this.form = { data: options.config.data, eventName: options.config.event_name };
  }

  get isOpen(): boolean {
    return this.term !== undefined;
  }

  /** Number of open streams. */
  get connections(): number {
    return this.readers.size;
  }

  /** This process leads now, until `close`. */
  open(term: LiveTerm): void {
    this.close('not_leader');
    const { epoch } = term;
    const turns = new ScanTurns(PAGES_OF_ORGANIZATION);
    const empty = { channels: new Map<string, LiveChannel>(), closed: new AbortController(), bytes: 0, forgotten: 0 };
    this.term = {
      epoch,
      position: () => term.position(),
      past: (organizationId, from, signal) =>
        turns.run(organizationId, () => term.past(organizationId, from, signal), signal),
      numbering: { epoch, number: 0 },
      ...empty,
    };
  }

  /** Ends all streams, each with the reason as its last message. */
  close(reason: 'not_leader' | 'stopping'): void {
    this.term?.closed.abort();
    this.term = undefined;
    for (const reader of this.readers) reader.end(reason);
    this.sweeping?.cancel();
    this.sweeping = undefined;
  }

  publish({ organizationId, events }: Batch): Verdict {
    const { term, form } = this;
    if (!term) return NOT_LEADING;
    const channel = this.channelOf(term, organizationId);
    const before = channel.ring.bytes;
    const [entries, whole] = channel.add(events, term.numbering, { form, position: term.position });
    term.bytes += channel.ring.bytes - before;
    let sent = 0;
    const now = this.options.clock.now();
    for (const reader of channel.readers) {
      if (!reader.isLive) continue;
      const count = reader.send(entries, whole);
      if (count === 0) continue;
      sent += count;
      reader.lastWrite = now;
      if (reader.isFull) reader.end('slow');
    }
    if (sent > 0) this.options.watcher.liveSent(sent);
    // Moved to the end: the channel that comes first has been quiet for longest.
    term.channels.delete(organizationId);
    term.channels.set(organizationId, channel);
    this.forget(term, channel);
    return DELIVERED;
  }

  /** Whether another stream of the organization may be opened now. */
  admits(organizationId: string): Admission {
    const { connections, connections_per_organization: ofOne } = this.options.config;
    if (!this.term) return 'closed';
    if (this.readers.size >= connections) return 'full';
    const channel = this.term.channels.get(organizationId);
    return channel && channel.readers.size >= ofOne ? 'organization_full' : 'admitted';
  }

  /** From now on the reader gets what the channel brings; first what it has missed since `lastEventId`. */
  attach(reader: LiveReader, lastEventId: string | undefined): void {
    const { term, form } = this;
    const { clock, log, watcher } = this.options;
    if (!term) return reader.end('not_leader');
    const channel = this.channelOf(term, reader.organizationId);
    channel.readers.add(reader);
    this.readers.add(reader);
    watcher.liveConnections(this.readers.size);
    this.sweeping ??= clock.schedule(SWEEP_MS, () => this.sweep());
    const signal = term.closed.signal;
    const resuming = resume(reader, lastEventId, { term, numbering: term.numbering, channel, form, clock, signal });
    resuming.then(
      (way) => way !== undefined && watcher.liveResumed(way),
      (error: unknown) => {
        if (reader.ended.aborted || signal.aborted) return;
        log.warn({ err: error }, 'a reader of the live channel could not be sent what it has missed: it tries again');
        reader.end('unavailable');
      },
    );
  }

  /** Call it once for each reader whose stream has ended. */
  detach(reader: LiveReader, reason: EndReason): void {
    const { watcher } = this.options;
    if (!this.readers.delete(reader)) return;
    watcher.liveConnections(this.readers.size);
    watcher.liveEnded(reason);
    const { term } = this;
    const channel = term?.channels.get(reader.organizationId);
    if (!term || !channel) return;
    channel.readers.delete(reader);
    this.dropIfEmpty(term, reader.organizationId, channel);
  }

  private channelOf(term: OpenTerm, organizationId: string): LiveChannel {
    const known = term.channels.get(organizationId);
    if (known) return known;
    const channel = new LiveChannel(term.forgotten);
    term.channels.set(organizationId, channel);
    return channel;
  }

  /** Oldest first, until the limits hold. */
  private forget(term: OpenTerm, { ring }: LiveChannel): void {
    const { ring_events: events, ring_bytes: bytes, ring_total: total } = this.options.config;
    const shift = (from: LiveChannel['ring']): void => {
      const before = from.bytes;
      from.shift();
      term.bytes -= before - from.bytes;
    };
    while (ring.length > events || (ring.bytes > bytes && ring.length > 1)) shift(ring);
    for (const [organizationId, channel] of term.channels) {
      if (term.bytes <= total) return;
      while (term.bytes > total && channel.ring.length > 0) shift(channel.ring);
      this.dropIfEmpty(term, organizationId, channel);
    }
  }

  private dropIfEmpty(term: OpenTerm, organizationId: string, { ring, readers }: LiveChannel): void {
    if (ring.length > 0 || readers.size > 0) return;
    term.forgotten = Math.max(term.forgotten, ring.floor);
    term.channels.delete(organizationId);
  }

  /** Once a second: tokens that have expired, and streams that were silent for long. */
  private sweep(): void {
    const { clock, config } = this.options;
    const [now, wallTime] = [clock.now(), clock.wallTime()];
    for (const reader of this.readers) {
      if (reader.expiresAt <= wallTime) reader.end('token_expired');
      else if (now - reader.lastWrite >= config.heartbeat) {
        reader.heartbeat();
        reader.lastWrite = now;
      }
    }
    this.sweeping = this.readers.size > 0 ? clock.schedule(SWEEP_MS, () => this.sweep()) : undefined;
  }
}
