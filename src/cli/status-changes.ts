/** What changed between two looks, for `walpost status --watch`. */
import type { StatusReport } from '../observe/status-report.ts';
import { bytesText } from './quantity-text.ts';

/** null is not known, or not known before. */
export interface StatusChanges {
  readonly seconds: number;
  readonly receivedPerSecond: number | null;
  readonly deliveredPerSecond: number | null;
  readonly writtenBytesPerSecond: number | null;
  readonly parked: number | null;
  readonly deadLetters: number | null;
  readonly unconfirmedBytes: number | null;
  readonly retainedBytes: number | null;
}

/** `seconds` between the two. A process that was started anew counts from 0, so nothing is known then. */
export function statusChanges(before: StatusReport, now: StatusReport, seconds: number): StatusChanges {
  const change = (pick: (report: StatusReport) => number | null | undefined): number | null => {
    const [old, fresh] = [pick(before), pick(now)];
    return old == null || fresh == null ? null : fresh - old;
  };
  const perSecond = (pick: (report: StatusReport) => number | null | undefined): number | null => {
    const events = change(pick);
    return events === null || events < 0 ? null : events / seconds;
  };
  return {
    seconds,
    receivedPerSecond: perSecond(({ counts }) => counts?.received),
    deliveredPerSecond: perSecond(({ counts }) => counts?.delivered),
    writtenBytesPerSecond: now.wal.writtenBytesPerSecond,
    parked: change(({ parked }) => total(parked)),
    deadLetters: change(({ deadLetters }) => total(deadLetters)),
    unconfirmedBytes: change(({ lag }) => lag.unconfirmedBytes),
    retainedBytes: change(({ lag }) => lag.retainedBytes),
  };
}

function total(counts: readonly { readonly count: number }[] | null): number | null {
  return counts && counts.reduce((sum, { count }) => sum + count, 0);
}

/** Two lines of the table. */
export function changeRows(changes: StatusChanges): [name: string, value: string][] {
  const rate = (value: number | null): string => (value === null ? 'unknown' : value.toFixed(1));
  const delta = (value: number | null, text: (value: number) => string = String): string =>
    value === null ? 'unknown' : `${value < 0 ? '-' : '+'}${text(Math.abs(value))}`;
  const written = changes.writtenBytesPerSecond;
  return [
    [
      'a second',
      `${rate(changes.receivedPerSecond)} received, ${rate(changes.deliveredPerSecond)} delivered, ` +
        `WAL ${written === null ? 'unknown' : bytesText(written)}`,
    ],
    [
      `in ${changes.seconds.toFixed(1)} s`,
      `parked ${delta(changes.parked)}, dead letters ${delta(changes.deadLetters)}, ` +
        `unconfirmed ${delta(changes.unconfirmedBytes, bytesText)}, WAL kept ${delta(changes.retainedBytes, bytesText)}`,
    ],
  ];
}
