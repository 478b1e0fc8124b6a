/**
 * The channel of one organization, for however many subscribers: one connection at a time, made again whenever it ends.
 *
 *   connecting   an attempt is under way
 *   live         it has caught up: what is committed comes
 *   waiting      the attempt has ended; another one follows
 *   closed       for good
 *
 * A reset is owed until the channel is live: at first, since nobody knows what happened before, and whenever the source says
 * that something may be missing. It outlives attempts, so a connection that ends between the two does not lose it.
 */
import type { Clock } from '../clock.ts';
import { retryDelay } from '../retry-delay.ts';
import type { ChannelEvent, ChangedEntity } from './channel-event.ts';
import { readMessage } from './channel-event.ts';
import type { ChannelAttempt, ChannelEnd, ChannelObserver, ChannelSource } from './channel-source.ts';
import { RecentIds } from './recent-ids.ts';

export type ChannelStatus =
  | { readonly state: 'connecting' | 'live' | 'closed' }
  /** Why the last attempt has ended, and in how many milliseconds the next one begins. */
  | { readonly state: 'waiting'; readonly why: string; readonly retryIn: number };

/** What a subscriber is told. None of these throws. */
export interface ChannelListener {
  event(event: ChannelEvent): void;
  entity(entity: ChangedEntity): void;
  reset(): void;
  status(status: ChannelStatus): void;
}

export interface ChannelConnectionOptions {
  readonly source: ChannelSource;
  readonly organizationId: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly retry: { readonly base: number; readonly most: number };
  readonly remember: number;
  readonly onError: (error: unknown) => void;
}

export class ChannelConnection {
  readonly listeners = new Set<ChannelListener>();
  private readonly options: ChannelConnectionOptions;
  private readonly seen: RecentIds;
  private readonly over = new AbortController();
  private current: ChannelStatus = { state: 'connecting' };
  private resetOwed = true;
  private lastId: string | undefined;
  private wakeUp: () => void = () => undefined;

  constructor(options: ChannelConnectionOptions) {
    this.options = options;
    this.seen = new RecentIds(options.remember);
  }

  get status(): ChannelStatus {
    return this.current;
  }

  /** Call it once. Resolves after `close`. */
  async run(): Promise<void> {
    const { retry, random } = this.options;
    let failures = 0;
    let token: ChannelEnd['token'];
    while (!this.over.signal.aborted) {
      this.enter({ state: 'connecting' });
      const end = await this.attempt(token !== undefined);
      if (this.over.signal.aborted) return;
      const wasLive = this.current.state === 'live';
      failures = wasLive ? 1 : failures + 1;
      token = end.token;
      const atOnce = wasLive && token === 'expired';
      const retryIn = atOnce ? 0 : retryDelay({ failures, ...retry, asked: end.retryAfter, random });
      this.enter({ state: 'waiting', why: end.why, retryIn });
      await this.pause(retryIn);
    }
  }

  /** Ends a wait: the network is back. */
  wake(): void {
    this.wakeUp();
  }

  close(): void {
    this.over.abort();
    this.wakeUp();
    this.enter({ state: 'closed' });
  }

  private async attempt(renewToken: boolean): Promise<ChannelEnd> {
    const { source, organizationId, onError } = this.options;
    const attempt = new AbortController();
    const abort = (): void => attempt.abort();
    this.over.signal.addEventListener('abort', abort);
    const observer = this.observe(attempt.signal);
    const { lastId } = this;
    try {
      const given: ChannelAttempt = { organizationId, lastId, renewToken, signal: attempt.signal, observer };
      return await source.connect(given);
    } catch (error) {
      if (!this.over.signal.aborted) onError(error);
      return { why: error instanceof Error ? error.message : String(error) };
    } finally {
      attempt.abort();
      this.over.signal.removeEventListener('abort', abort);
    }
  }

  /** What comes of an attempt after its end is not looked at. */
  private observe(signal: AbortSignal): ChannelObserver {
    const unlessEnded =
      <Arguments extends unknown[]>(act: (...given: Arguments) => void) =>
      (...given: Arguments): void => {
        if (!signal.aborted) act(...given);
      };
    return {
      message: unlessEnded((data) => this.take(data)),
      position: unlessEnded((lastId) => (this.lastId = lastId)),
      reset: unlessEnded(() => (this.resetOwed = true)),
      live: unlessEnded(() => this.goLive()),
    };
  }

  private take(data: unknown): void {
    const { organizationId, onError } = this.options;
    const message = readMessage(data);
    if (message === undefined) return onError(new Error('a message of the channel has none of the forms of walpost'));
    const given = message.organizationId;
    if (given !== undefined && given.toLowerCase() !== organizationId.toLowerCase()) {
      return onError(new Error('the token, or the channel, belongs to another organization: its message was dropped'));
    }
    for (const event of message.events) {
      if (this.seen.add(event.event_id)) this.tell((listener) => listener.event(event));
    }
    for (const entity of message.entities) {
      if (this.seen.add(entity.event_id)) this.tell((listener) => listener.entity(entity));
    }
  }

  private goLive(): void {
    this.enter({ state: 'live' });
    if (!this.resetOwed) return;
    this.resetOwed = false;
    this.tell((listener) => listener.reset());
  }

  private enter(status: ChannelStatus): void {
    this.current = status;
    this.tell((listener) => listener.status(status));
  }

  private tell(what: (listener: ChannelListener) => void): void {
    for (const listener of Array.from(this.listeners)) if (this.listeners.has(listener)) what(listener);
  }

  private pause(delay: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.options.clock.schedule(delay, resolve);
      this.wakeUp = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
