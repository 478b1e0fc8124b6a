/**
 * One request of undici and the beginning of its answer.
 *
 * undici's own `request` makes a stream of each answer, which costs more than all the rest of the request. Here an answer is a
 * status and a few KiB of text, so it is taken from `dispatch` as it comes.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Clock, Timer } from '../../clock.ts';

/** Of an answer. */
export const MAX_ANSWER_BYTES = 8 * 1024;
/** Maximum time for the body after the head. The status has decided by then; the body only explains it and frees the socket. */
const ANSWER_PATIENCE = 1000;

export interface AnswerStart {
  readonly status: number;
  readonly statusText: string;
  /** A list where the answer repeats a header. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The beginning of the body, 8 KiB and what came together with their last byte. */
  readonly chunks: readonly Buffer[];
  /** The body was longer, took too long or broke off; its socket is destroyed. */
  readonly cut: boolean;
}

/** What a request waits for. */
export interface ExchangeLimits {
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/**
 * Resolves with the head and the first bytes of the body, whatever the status. When the body ends within the bounds the socket
 * stays open. Rejects as soon as the signal aborts before the head; after it, the abort only cuts the body off.
 */
export function exchange(
  agent: Dispatcher,
  request: Dispatcher.DispatchOptions,
  limits: ExchangeLimits,
): Promise<AnswerStart> {
  const { signal } = limits;
  // undici would take a connection before it asks, and lose it.
  if (signal.aborted) return Promise.reject(reasonOf(signal));
  return new Promise((resolve, reject) => {
    agent.dispatch(request, new Exchange(limits, resolve, reject));
  });
}

const stops = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * What the signal stops when it aborts. A signal is used for many attempts, one after the other, and a listener costs more
 * than all else that is done here: so it has one.
 */
function stopsOf(signal: AbortSignal): Set<() => void> {
  const known = stops.get(signal);
  if (known) return known;
  const all = new Set<() => void>();
  stops.set(signal, all);
  signal.addEventListener('abort', () => all.forEach(stopAlone), { once: true });
  return all;
}

/** One that throws keeps no other from stopping. Its fault goes where that of a listener of its own would go. */
function stopAlone(stop: () => void): void {
  try {
    stop();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

class Exchange implements Dispatcher.DispatchHandler {
  private readonly signal: AbortSignal;
  private readonly clock: Clock;
  private readonly resolve: (answer: AnswerStart) => void;
  private readonly reject: (error: unknown) => void;
  private controller: Dispatcher.DispatchController | undefined;
  private status = 0;
  private statusText = '';
  private headers: AnswerStart['headers'] = {};
  private patience: Timer | undefined;
  private readonly chunks: Buffer[] = [];
  private length = 0;
  private isOver = false;

  constructor(
    { signal, clock }: ExchangeLimits,
    resolve: (answer: AnswerStart) => void,
    reject: (error: unknown) => void,
  ) {
    this.signal = signal;
    this.clock = clock;
    this.resolve = resolve;
    this.reject = reject;
    stopsOf(signal).add(this.stop);
  }

  /** undici has a connection, which an address that swallows packets delays: only now can the request be taken back. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.isOver) controller.abort(reasonOf(this.signal));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText = '',
  ): void {
    if (status < 200 || this.isOver) return; // an interim answer
    this.status = status;
    this.statusText = statusText;
    this.headers = headers;
    // A short body has come with its head, and ends before anything else runs.
    queueMicrotask(() => this.waitForBody());
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.isOver) return;
    this.chunks.push(chunk);
    this.length += chunk.length;
    if (this.length >= MAX_ANSWER_BYTES) this.stop();
  }

  onResponseEnd(): void {
    this.end(false);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: unknown): void {
    this.end(true, error);
  }

  private waitForBody(): void {
    if (!this.isOver) this.patience = this.clock.schedule(ANSWER_PATIENCE, this.stop);
  }

  /** The signal has aborted, or the body has reached a bound. */
  private readonly stop = (): void => {
    const reason = reasonOf(this.signal);
    this.end(true, reason);
    this.controller?.abort(reason);
  };

  private end(cut: boolean, error?: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.patience?.cancel();
    stopsOf(this.signal).delete(this.stop);
    const { status, statusText, headers, chunks } = this;
    if (status === 0)
      this.reject(error); // there is no head
    else this.resolve({ status, statusText, headers, chunks, cut });
  }
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new DOMException('aborted', 'AbortError');
}
