import type { Config } from '../../config/schema.ts';

/**
 * When what a lane holds leaves. A lane asks when its first event arrives, and when a batch has settled. Later events of a
 * window only fill the batch.
 *
 * `window`: events of one window leave together. `leading_edge`: the first event of a quiet lane leaves at once, and a window
 * opens behind it. `adaptive`: no window at all; what arrives while a batch is in flight leaves when that has settled, so
 * batches grow with the load.
 */
export type BatchingMode = 'window' | 'leading_edge' | 'adaptive';

type Batching = Pick<Config, 'batching' | 'sinks'>;

/** The sink's own mode, or that of all sinks. */
export function modeOf(sink: string, { batching, sinks }: Batching): BatchingMode {
  return sinks[sink]?.mode ?? (batching.leading_edge ? 'leading_edge' : 'window');
}

/** Some sink opens no window for the first event of a quiet lane. */
export function sendsAtOnce(config: Batching): boolean {
  return Object.keys(config.sinks).some((sink) => modeOf(sink, config) !== 'window');
}

export type Departure =
  /** It takes its place in the sink's queue. */
  | 'now'
  /** The lane is busy: it asks again when the batch in flight has settled, or what else it waits for is there. */
  | 'answer'
  /** At the window's end, unless the batch is full before. */
  | 'window';

export interface Gathered {
  readonly mode: BatchingMode;
  /** A batch is in flight, or the lane waits for its turn, for a retry, its rate, a snapshot or a page of parked events. */
  readonly busy: boolean;
  /** A batch could hold no more. */
  readonly full: boolean;
  /** The window that the first event joined is still open. */
  readonly windowOpen: boolean;
  /** It had its window before: after a failure, and when it is read back from Postgres. */
  readonly resumes: boolean;
  /** The process ends: no window is waited for. */
  readonly draining: boolean;
}

export function departureOf({ mode, busy, full, windowOpen, resumes, draining }: Gathered): Departure {
  if (busy) return 'answer';
  return windowOpen && mode !== 'adaptive' && !full && !resumes && !draining ? 'window' : 'now';
}
