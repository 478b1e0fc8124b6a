/** What a test of a sink gives to the contract suite, and the context that the sink is created with. */
import { systemClock } from '../../clock.ts';
import type { SinkContext, SinkLog } from '../../sink-context.ts';
import type { CustomSink } from '../custom-sink.ts';

export interface SinkHarness extends AsyncDisposable {
  readonly sink: CustomSink;
  /** The bytes of what the destination has received, in the order of arrival; null for a sink that keeps nothing. */
  received(): Promise<Buffer | null>;
  /** From now on the destination takes work and never answers; resolves false where the sink has no destination. */
  hang(): Promise<boolean>;
  /** Resolves once the destination has begun to be asked, after `hang`. */
  asked(): Promise<void>;
  /** From now on every delivery goes wrong, with an answer that echoes what it was sent; false where nothing can. */
  fail(): Promise<boolean>;
  /**
   * From now on the destination refuses the event of this id, and takes every other. Leave it out where it cannot refuse a
   * single event.
   */
  refuse?(eventId: string): Promise<void>;
  /** Resolves when nothing that the sink opened is open any more. */
  released(): Promise<void>;
  /** Values that no verdict and no line of the log may show, such as a token of the options. */
  readonly secrets: readonly string[];
}

/** Lines that sinks under test have logged since they were last taken. */
let lines: string[] = [];

const noted = (fields: object, message: string): void => {
  lines.push(`${message} ${JSON.stringify(fields)}`);
};
const log: SinkLog = { debug: noted, info: noted, warn: noted, error: noted };

/** A context for tests: the clock of the system, counters that keep nothing, and a log in which the suite looks for secrets. */
export const testContext: SinkContext = {
  name: 'under-test',
  clock: systemClock,
  log,
  metrics: { count: () => undefined },
};

/** What was logged since the last call. */
export function takeLog(): string {
  const text = lines.join('\n');
  lines = [];
  return text;
}
