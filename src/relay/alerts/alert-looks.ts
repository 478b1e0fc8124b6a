/** What changes between two looks at the alerts. */
import type { Alert } from '../../observe/status-report.ts';
import { type AlertChanges, MOST_ALERTS, type ToldAlert } from './told-alerts.ts';

/** Numbers near a threshold come and go: an alert that is missing once has not ended. */
const LOOKS_WITHOUT = 3;

export class AlertLooks {
  /** Looks in a row that have not found the alert. */
  private missed = new Map<string, number>();

  /**
   * An alert that has ended and comes again begins once the receiver knows that it had ended: so it hears of each in order.
   * A higher severity is an alert of its own.
   */
  look(known: readonly ToldAlert[], alerts: readonly Alert[]): AlertChanges {
    const found = new Set(alerts.map(keyOf));
    const holding = known.filter(({ endedAt }) => endedAt === null);
    const absent = holding.filter((alert) => !found.has(keyOf(alert)));
    this.missed = new Map(absent.map((alert) => [keyOf(alert), (this.missed.get(keyOf(alert)) ?? 0) + 1]));
    const ended = absent.filter((alert) => (this.missed.get(keyOf(alert)) ?? 0) >= LOOKS_WITHOUT);
    const keys = new Set(known.map(keyOf));
    const begun = alerts.filter((alert) => !keys.has(keyOf(alert))).slice(0, MOST_ALERTS - holding.length);
    const excess = Math.max(0, known.length + begun.length - MOST_ALERTS);
    return { begun, ended, dropped: known.filter(({ endedAt }) => endedAt !== null).slice(0, excess) };
  }
}

function keyOf({ name, severity, subject }: Alert): string {
  return JSON.stringify([name, severity, subject]);
}
