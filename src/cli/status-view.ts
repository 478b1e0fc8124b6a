import Table from 'cli-table3';
import pc from 'picocolors';
import type { StatusReport } from '../observe/status-report.ts';
import type { GatheredStatus } from './gather-status.ts';
import { bytesText, secondsText } from './quantity-text.ts';

type Paint = ReturnType<typeof pc.createColors>;
type Row = [name: string, value: string];

/** The status for people: two columns, no frames, nothing but text where there is no terminal. */
export function statusText({ report, notes }: GatheredStatus, color: boolean): string {
  const paint = pc.createColors(color);
  const rows: Row[] = [
    ...leaderRows(report, paint),
    ...slotRows(report, paint),
    ...flowRows(report),
    ...sinkRows(report, paint),
    ...storedRows(report, paint),
    ...report.stalls.map(({ what, waiting, message }): Row => [
      paint.red('stalled'),
      `${what}: ${waiting} events wait for the database, and with them the slot: ${message}`,
    ]),
  ];
  const table = new Table({ chars: NO_FRAME, style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 } });
  for (const [name, value] of rows) table.push([paint.dim(name), printable(value)]);
  const text = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
  return `${[...text, ...notes.map((note) => paint.yellow(printable(note)))].join('\n')}\n`;
}

const NO_FRAME = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((name) => [name, '']),
);

function leaderRows({ leader }: StatusReport, paint: Paint): Row[] {
  const tint = { leader: paint.green, standby: paint.cyan, starting: paint.yellow, unknown: paint.yellow }[leader.role];
  const epoch = leader.epoch === null ? '' : `, epoch ${leader.epoch}`;
  return [['role', `${tint(leader.role)}${epoch}, ${leader.detail}`]];
}

function slotRows({ slot, lag }: StatusReport, paint: Paint): Row[] {
  if (slot === null) return [['slot', 'unknown']];
  const tint = slot.walStatus === 'reserved' ? paint.green : slot.walStatus === 'extended' ? paint.yellow : paint.red;
  const rows: Row[] = [
    [
      'slot',
      `${slot.name}, ${tint(slot.walStatus)}, ${slot.active ? 'active' : paint.yellow('nobody streams from it')}`,
    ],
  ];
  if (slot.walStatus === 'missing') return rows;
  const parts: [string, number | null][] = [
    ['unread', lag.unreadBytes],
    ['unconfirmed', lag.unconfirmedBytes],
  ];
  const bytes = parts.flatMap(([name, value]) => (value === null ? [] : [`${name} ${bytesText(value)}`])).join(', ');
  const safe = lag.safeBytes === null ? 'no limit' : bytesText(lag.safeBytes);
  return [
    ...rows,
    ['confirmed', slot.confirmedLsn ?? 'nothing'],
    ['lag', lag.seconds === null ? bytes : `${secondsText(lag.seconds)}; ${bytes}`],
    ['WAL kept', `${bytesText(lag.retainedBytes)}; before the slot is lost: ${safe}`],
  ];
}

function flowRows(report: StatusReport): Row[] {
  if (report.lanes === null) return [];
  const lanes = Object.entries(report.lanes).filter(([, count]) => count > 0);
  const open = report.openTransactions ?? 0;
  return [
    ['lanes', lanes.map(([state, count]) => `${count} ${state}`).join(', ') || 'none'],
    ['buffered', `${bytesText(report.bufferedBytes)} of ${bytesText(report.budgetBytes)}, ${open} open transactions`],
    ['received', `${secondsText(report.lastReceivedAgeSeconds)} ago`],
  ];
}

function sinkRows({ breakers, parked }: StatusReport, paint: Paint): Row[] {
  const tints = { closed: paint.green, half_open: paint.yellow, open: paint.red };
  const names = { closed: 'closed', half_open: 'half open', open: 'open' };
  const known = breakers.map(({ sink, state }): Row => {
    const waiting = parked.find((each) => each.sink === sink)?.count ?? 0;
    return [`sink ${sink}`, `breaker ${tints[state](names[state])}${waiting > 0 ? `, ${waiting} parked` : ''}`];
  });
  const others = parked.filter(({ sink }) => !breakers.some((breaker) => breaker.sink === sink));
  return [...known, ...others.map(({ sink, count }): Row => [`sink ${sink}`, `${count} parked`])];
}

function storedRows({ deadLetters, parked, jobs }: StatusReport, paint: Paint): Row[] {
  const dead = deadLetters.reduce((sum, { count }) => sum + count, 0);
  const reasons = deadLetters.map(
    ({ sink, reason, count }) => `${count} ${reason}${sink === null ? '' : ` (${sink})`}`,
  );
  return [
    ['parked', String(parked.reduce((sum, { count }) => sum + count, 0))],
    ['dead letters', dead === 0 ? '0' : `${paint.red(String(dead))}: ${reasons.join(', ')}`],
    ['jobs', jobs.map((job) => `${job.kind} ${job.id} ${job.state}, ${job.scanned} scanned`).join('; ') || 'none'],
  ];
}

/** Nothing that came from elsewhere moves the reader's cursor; our own colors pass. */
function printable(text: string): string {
  return text.replace(/\x1b(?!\[\d{1,2}m)|[\x00-\x1a\x1c-\x1f\x7f-\x9f]/g, ' ');
}
