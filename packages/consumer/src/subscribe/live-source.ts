/**
 * The live channel of walpost, by one of two ways. With `fetch` the token is a header, and a connection that has died without a
 * word is noticed. An EventSource can send no header, so it takes a ticket that opens one stream; it is for platforms whose
 * fetch has no streams, as React Native.
 */
import { type Clock, systemClock } from '../clock.ts';
import { askForToken } from './ask-for-token.ts';
import type { ChannelAttempt, ChannelEnd, ChannelSource, TokenFunction } from './channel-source.ts';
import { type EventSourceConstructor, readEventSource } from './live-event-source.ts';
import { endOfRefusal, takeLiveMessage } from './live-messages.ts';
import { SseParser } from './sse-parser.ts';

export interface LiveSourceOptions {
  /** Of the live channel, such as `https://app.example.com/live`. */
  readonly url: string;
  readonly token: TokenFunction;
  /** Event types that are asked for; all when absent. No patterns: the server knows none. */
  readonly types?: readonly string[];
  readonly topics?: readonly string[];
  /** Uses it instead of fetch. It hears of the types in `types` only, unless walpost.yaml has `live.event_name: message`. */
  readonly eventSource?: EventSourceConstructor;
  readonly fetch?: typeof fetch;
  /** After so long without a byte a stream is given up, in milliseconds; 45,000 when absent. Longer than `live.heartbeat` (15 s). */
  readonly silence?: number;
  /** For tests. */
  readonly clock?: Clock;
}

export function liveSource(options: LiveSourceOptions): ChannelSource {
  const { clock = systemClock, silence = 45_000 } = options;
  return {
    connect: async (attempt) => {
      const token = await askForToken(options.token, attempt, { renew: attempt.renewToken, clock });
      const watch = new SilenceWatch(attempt.signal, clock, silence);
      try {
        return await readChannel(attempt, `Bearer ${token}`, { ...options, watch });
      } catch (error) {
        if (watch.isSilent) return { why: 'the live channel was silent for too long' };
        return { why: `the live channel cannot be reached: ${error instanceof Error ? error.message : String(error)}` };
      } finally {
        watch.end();
      }
    },
  };
}

interface Watched extends LiveSourceOptions {
  readonly watch: SilenceWatch;
}

function readChannel(attempt: ChannelAttempt, authorization: string, options: Watched): Promise<ChannelEnd> {
  const { eventSource } = options;
  if (eventSource === undefined) return readStream(attempt, authorization, options);
  return readWithTicket(attempt, authorization, { ...options, eventSource });
}

function queryOf({ types, topics }: LiveSourceOptions, more: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(more);
  for (const type of types ?? []) query.append('type', type);
  for (const topic of topics ?? []) query.append('topic', topic);
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

async function readWithTicket(
  attempt: ChannelAttempt,
  authorization: string,
  options: Watched & { readonly eventSource: EventSourceConstructor },
): Promise<ChannelEnd> {
  const { url, types = [], fetch: ask = fetch, eventSource, watch } = options;
  const { lastId } = attempt;
  const response = await ask(`${url}/ticket`, { method: 'POST', headers: { authorization }, signal: watch.signal });
  if (!response.ok) return endOfRefusal(response);
  const { ticket } = (await response.json()) as { readonly ticket: string };
  const query = queryOf(options, { ticket, ...(lastId !== undefined && { last_event_id: lastId }) });
  watch.end(); // an EventSource tells nobody of the comments that keep a stream alive
  return readEventSource(attempt, { eventSource, url: url + query, types });
}

async function readStream(attempt: ChannelAttempt, authorization: string, options: Watched): Promise<ChannelEnd> {
  const { url, fetch: ask = fetch, watch } = options;
  const { lastId } = attempt;
  const headers = { authorization, ...(lastId !== undefined && { 'last-event-id': lastId }) };
  const response = await ask(url + queryOf(options), { headers, signal: watch.signal });
  if (!response.ok) return endOfRefusal(response);
  if (response.body === null) return { why: 'this fetch has no streams: give liveSource an eventSource' };
  return readBody(response.body, attempt, watch);
}

async function readBody(
  body: ReadableStream<Uint8Array>,
  { observer }: ChannelAttempt,
  watch: SilenceWatch,
): Promise<ChannelEnd> {
  const parser = new SseParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let end: ChannelEnd = { why: 'the stream was cut' };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { retryAfter: parser.retry, ...end };
    watch.heard();
    for (const message of parser.push(decoder.decode(value, { stream: true }))) {
      end = takeLiveMessage(message, observer) ?? end;
    }
  }
}

/** Aborts a request whose other side has not been heard of for a while: TCP alone would wait for many minutes. */
class SilenceWatch {
  isSilent = false;
  private readonly abort = new AbortController();
  private readonly outer: AbortSignal;
  private readonly clock: Clock;
  private readonly silence: number;
  private timer: { cancel(): void } | undefined;
  private readonly onAbort = (): void => this.abort.abort();

  constructor(outer: AbortSignal, clock: Clock, silence: number) {
    this.outer = outer;
    this.clock = clock;
    this.silence = silence;
    if (outer.aborted) this.abort.abort();
    outer.addEventListener('abort', this.onAbort);
    this.heard();
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  heard(): void {
    this.timer?.cancel();
    this.timer = this.clock.schedule(this.silence, () => {
      this.isSilent = true;
      this.abort.abort();
    });
  }

  end(): void {
    this.timer?.cancel();
    this.outer.removeEventListener('abort', this.onAbort);
    this.abort.abort(); // what is left of the body is not read
  }
}
