/** What a subscriber needs of a way to the channel of an organization: `liveSource`, `realtimeSource`, or one of your own. */
export interface ChannelSource {
  /**
   * One connection, until it ends or the signal aborts. Resolves with how it has ended; an error that it rejects with counts
   * as an end too. The subscriber waits and connects again.
   */
  connect(attempt: ChannelAttempt): Promise<ChannelEnd>;
}

export interface ChannelAttempt {
  readonly organizationId: string;
  /** What the last `position` has named; undefined at first. */
  readonly lastId: string | undefined;
  /** The last token has expired or was refused: ask for another one. */
  readonly renewToken: boolean;
  readonly signal: AbortSignal;
  readonly observer: ChannelObserver;
}

export interface ChannelObserver {
  /** The data of one message, parsed. */
  message(data: unknown): void;
  /** Where to go on after the connection has ended. */
  position(lastId: string): void;
  /** Something may be missing: what comes from the next `live` on is complete again. */
  reset(): void;
  /** The channel has caught up: what is committed from now on comes. */
  live(): void;
}

export interface ChannelEnd {
  /** For people. It holds no token and no payload. */
  readonly why: string;
  /** How long the other side wants to be left alone, in milliseconds. */
  readonly retryAfter?: number | undefined;
  readonly token?: 'expired' | 'refused' | undefined;
}

/**
 * The token of the user for that organization. `renew` says that the last one has expired or was refused, so one that is kept
 * somewhere will not do.
 */
export type TokenFunction = (organizationId: string, options: { readonly renew: boolean }) => string | Promise<string>;
