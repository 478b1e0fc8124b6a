/**
 * Supabase Realtime. A channel that has failed is removed, and the subscriber joins anew: with the token of then, and after its own
 * wait. Realtime keeps nothing for those who were away, so each time the state has to be read again.
 */
import { type Clock, systemClock } from '../clock.ts';
import { askForToken } from './ask-for-token.ts';
import type { ChannelAttempt, ChannelEnd, ChannelSource, TokenFunction } from './channel-source.ts';
import { expiryOf } from './token-expiry.ts';

/** What is used of a RealtimeChannel of `@supabase/realtime-js`. */
export interface RealtimeChannelLike {
  on(type: 'broadcast', filter: { event: '*' }, callback: (message: { payload?: unknown }) => void): unknown;
  subscribe(callback: (status: string, error?: Error) => void): unknown;
}

/** What is used of a client: `supabase`, `supabase.realtime`, or a RealtimeClient. */
export interface RealtimeClientLike<Channel extends RealtimeChannelLike> {
  channel(name: string, options: { config: { private: boolean } }): Channel;
  removeChannel(channel: Channel): Promise<unknown>;
}

export interface RealtimeSourceOptions<Channel extends RealtimeChannelLike> {
  readonly client: RealtimeClientLike<Channel> & { setAuth?(token: string): Promise<unknown> };
  /** As in walpost.yaml; `notifications:org_{organization_id}` when absent. */
  readonly channel?: string;
  /** True when absent, as in walpost.yaml. */
  readonly private?: boolean;
  /** Leave it out when the client renews its tokens itself, as supabase-js does. Needs a client with `setAuth`. */
  readonly token?: TokenFunction;
  /** For tests. */
  readonly clock?: Clock;
}

const RENEW_BEFORE_MS = 60_000;
/** For tokens that have expired already, as those of a clock that is wrong. */
const LEAST_WAIT_MS = 5_000;
/** Platforms fire a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function realtimeSource<Channel extends RealtimeChannelLike>(
  options: RealtimeSourceOptions<Channel>,
): ChannelSource {
  const { client, token, channel: name = 'notifications:org_{organization_id}', private: isPrivate = true } = options;
  if (token !== undefined && client.setAuth === undefined) {
    throw new TypeError('client: a client without setAuth cannot take a token; give supabase.realtime');
  }
  return {
    connect: async (attempt) => {
      const renewal = new TokenRenewal(attempt, options);
      await renewal.take(attempt.renewToken);
      const topic = name.replaceAll('{organization_id}', attempt.organizationId);
      const channel = client.channel(topic, { config: { private: isPrivate } });
      try {
        return await ended(channel, attempt);
      } finally {
        renewal.end();
        await client.removeChannel(channel);
      }
    },
  };
}

function ended(channel: RealtimeChannelLike, { observer, signal }: ChannelAttempt): Promise<ChannelEnd> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve({ why: 'closed' });
    signal.addEventListener('abort', () => resolve({ why: 'closed' }));
    channel.on('broadcast', { event: '*' }, ({ payload }) => observer.message(payload));
    channel.subscribe((status, error) => {
      if (status === 'SUBSCRIBED') {
        observer.reset();
        observer.live();
      } else {
        // A refusal has a message, a lost connection has none. A refusal may be about the token, so the next one is new.
        const refusal = error instanceof Error ? error.message : undefined;
        resolve({ why: `Realtime: ${refusal ?? status}`, token: refusal === undefined ? undefined : 'refused' });
      }
    });
  });
}

/** Gives the client a token, and another one before that expires: the channel stays open meanwhile. */
class TokenRenewal<Channel extends RealtimeChannelLike> {
  private readonly attempt: ChannelAttempt;
  private readonly options: RealtimeSourceOptions<Channel>;
  private timer: { cancel(): void } | undefined;
  private isOver = false;

  constructor(attempt: ChannelAttempt, options: RealtimeSourceOptions<Channel>) {
    this.attempt = attempt;
    this.options = options;
  }

  async take(renew: boolean): Promise<void> {
    const { token: tokenOf, client, clock = systemClock } = this.options;
    if (tokenOf === undefined) return;
    const token = await askForToken(tokenOf, this.attempt, { renew, clock });
    await client.setAuth?.(token);
    const expiry = expiryOf(token);
    if (expiry === undefined || this.isOver) return;
    const left = expiry - clock.wallTime();
    const wait = Math.max(left - RENEW_BEFORE_MS, left / 2, LEAST_WAIT_MS);
    // When no new token comes, the channel ends with the old one, and the next attempt asks again.
    const renewLater = (): void => void this.take(true).catch(() => undefined);
    this.timer = clock.schedule(Math.min(wait, LONGEST_TIMER_MS), renewLater);
  }

  end(): void {
    this.isOver = true;
    this.timer?.cancel();
  }
}
