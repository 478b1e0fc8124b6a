import type { Clock } from '../clock.ts';
import { destinationRemedy } from './destination-remedy.ts';
import type { Logger } from './log.ts';

interface BreakerLogOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Why the destination was last unavailable. */
interface Cause {
  readonly code?: string;
  readonly reason: string;
}

type OnBreaker = (sink: string, state: 'open' | 'half_open' | 'closed', last?: Cause) => void;

/** One line when the breaker opens, and one when it closes. The probes between them, one in ten seconds, are no news. */
export function breakerLog({ name, clock, log }: BreakerLogOptions): OnBreaker {
  let openSince: number | undefined;
  return (sink, state, last) => {
    if (state === 'closed') {
      const seconds = openSince === undefined ? undefined : Math.round((clock.now() - openSince) / 1000);
      openSince = undefined;
      return log.info(
        { sink, state, openForSeconds: seconds },
        `the breaker of ${name} is closed again: all is delivered`,
      );
    }
    if (openSince !== undefined)
      return log.debug({ sink, state }, `the breaker of ${name} is ${state.replace('_', ' ')}`);
    openSince = clock.now();
    const { code, reason } = last ?? {};
    const words = 'too many organizations get nothing delivered there, so their events wait or are parked';
    return log.warn(
      { sink, state, code, reason, remedy: destinationRemedy(code, name) },
      `the breaker of ${name} is open: ${words}`,
    );
  };
}
