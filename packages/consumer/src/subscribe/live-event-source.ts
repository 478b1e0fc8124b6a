import type { ChannelAttempt, ChannelEnd } from './channel-source.ts';
import { LIVE_NAMES, takeLiveMessage } from './live-messages.ts';

/** What is used of the browser's EventSource; those of npm for React Native fit. */
export interface EventSourceLike {
  addEventListener(type: string, listener: (message: { data?: unknown; lastEventId?: string }) => void): void;
  close(): void;
}

export type EventSourceConstructor = new (url: string) => EventSourceLike;

export interface EventSourceOptions {
  readonly eventSource: EventSourceConstructor;
  /** With its ticket. */
  readonly url: string;
  readonly types: readonly string[];
}

/** One stream. It is closed at its first error: the browser would connect again with the same ticket, and be refused. */
export function readEventSource(
  { signal, observer }: ChannelAttempt,
  { eventSource: EventSource, url, types }: EventSourceOptions,
): Promise<ChannelEnd> {
  return new Promise((resolve) => {
    const source = new EventSource(url);
    let end: ChannelEnd = { why: 'the stream was cut, or was refused' };
    const close = (): void => {
      source.close();
      signal.removeEventListener('abort', close);
      resolve(end);
    };
    signal.addEventListener('abort', close);
    const names = new Set(['message', ...LIVE_NAMES, ...types, 'error']);
    for (const name of names) {
      source.addEventListener(name, ({ data, lastEventId = '' }) => {
        if (typeof data !== 'string') {
          if (name === 'error') close();
          return;
        }
        // An application may have a type `error`: only a message has data.
        if (name === 'error' && !types.includes('error')) return;
        end = takeLiveMessage({ event: name, data, id: lastEventId }, observer) ?? end;
      });
    }
    if (signal.aborted) close();
  });
}
