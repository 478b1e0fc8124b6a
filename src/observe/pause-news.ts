/** The log line when something is paused, and when it goes on. */
import type { Logger } from './log.ts';
import { type PausedSince, partText } from './status-report.ts';

export class PauseNews {
  private readonly log: Pick<Logger, 'info' | 'warn'>;
  private known = new Map<string, PausedSince>();

  constructor(log: Pick<Logger, 'info' | 'warn'>) {
    this.log = log;
  }

  /** Returns what it is given, once the log says what is new. */
  told(pauses: readonly PausedSince[]): readonly PausedSince[] {
    const now = new Map(pauses.map((pause) => [partText(pause), pause]));
    for (const [part, pause] of now) {
      if (!this.known.has(part)) this.log.warn(pause, 'paused: nothing is sent, and events are parked in order');
    }
    for (const [part, { sink, organizationId }] of this.known) {
      if (!now.has(part)) this.log.info({ sink, organizationId }, 'resumed: what was parked is sent, in order');
    }
    this.known = now;
    return pauses;
  }
}
