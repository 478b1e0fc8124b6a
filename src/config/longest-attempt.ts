import type { Config } from './schema.ts';
import { sendsBatches } from './sinks/webhook.ts';

/**
 * How long an attempt may take at most, in milliseconds, of whichever sink. A sink that sends each event in a request of its
 * own has the timeout for each request and begins none after the first timeout, so its attempt lasts no longer than two.
 */
export function longestAttempt({ sinks, delivery }: Pick<Config, 'sinks' | 'delivery'>): number {
  const each = Object.values(sinks).map((sink) => {
    const oneByOne =
      sink.type === 'realtime' ||
      sink.type === 'slack' ||
      sink.type === 'email' ||
      (sink.type === 'webhook' && !sendsBatches(sink));
    return (sink.timeout ?? delivery.timeout) * (oneByOne ? 2 : 1);
  });
  return Math.max(...each, 0);
}
