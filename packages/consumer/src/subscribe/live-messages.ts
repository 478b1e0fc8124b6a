/** What the messages of the live channel mean, whoever has read them: fetch or an EventSource. */
import type { ChannelEnd, ChannelObserver } from './channel-source.ts';

export interface LiveMessage {
  readonly event: string;
  readonly data: string;
  readonly id: string;
}

/** Names of the messages that are walpost's own. */
export const LIVE_NAMES = ['walpost.live', 'walpost.reset', 'walpost.end'] as const;

/** Tells the observer. Gives back how the stream ends when this was its last message. */
export function takeLiveMessage({ event, data, id }: LiveMessage, observer: ChannelObserver): ChannelEnd | undefined {
  const parsed = parse(data);
  if (event === 'walpost.end') return endOf(String(parsed?.reason));
  if (event === 'walpost.reset') observer.reset();
  else if (event === 'walpost.live') observer.live();
  else observer.message(parsed);
  // Last: an event counts as received when it was handed on.
  if (id !== '') observer.position(id);
  return undefined;
}

/** Undefined, which is no message, when it is no JSON: the error of JSON.parse quotes the data. */
function parse(data: string): { readonly reason?: unknown } | undefined {
  try {
    return JSON.parse(data) as object;
  } catch {
    return undefined;
  }
}

function endOf(reason: string): ChannelEnd {
  return { why: `walpost ended the stream: ${reason}`, token: reason === 'token_expired' ? 'expired' : undefined };
}

export interface Refusal {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

export function endOfRefusal({ status, headers }: Refusal): ChannelEnd {
  const seconds = Number(headers.get('retry-after') ?? NaN);
  return {
    why: `the live channel answered ${status}`,
    retryAfter: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    token: status === 401 ? 'refused' : undefined,
  };
}
