import { printable } from '../observe/printable.ts';
import { EXIT } from './exit-code.ts';
import type { GatheredStatus } from './gather-status.ts';
import { bytesText } from './quantity-text.ts';

export interface CheckResult {
  /** One line, as monitoring systems want it. */
  readonly line: string;
  readonly exitCode: number;
}

/** What was not seen is never OK. */
export function checkStatus({ report, notes, database, allAlerts }: GatheredStatus): CheckResult {
  const alerts = report.alerts ?? [];
  const bad = (state: string, text: string): CheckResult => ({
    line: printable(`${state} ${text}`),
    exitCode: EXIT.problemsFound,
  });
  const [worst, ...others] = alerts;
  if (worst?.severity !== 'critical' && database === 'silent') return bad('CRITICAL', notes.join(' '));
  if (worst) {
    const rest = others.length === 0 ? '' : ` (and ${others.map(({ name }) => name).join(', ')})`;
    return bad(worst.severity.toUpperCase(), `${worst.name} ${worst.subject}: ${worst.message}${rest}`);
  }
  if (!allAlerts) return bad('WARNING', 'walpost.alerts could not be read, so nothing is known of alerts');
  const { slot, lag } = report;
  if (slot === null || !['reserved', 'extended'].includes(slot.walStatus)) {
    return bad('CRITICAL', `slot ${slot?.name ?? ''} is ${slot?.walStatus ?? 'unknown'}`);
  }
  const kept = `WAL kept ${bytesText(lag.retainedBytes)}, unconfirmed ${bytesText(lag.unconfirmedBytes)}`;
  return { line: printable(`OK ${slot.name} ${slot.walStatus}, ${kept}`), exitCode: EXIT.done };
}
