import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';
import { printableValue } from '../observe/printable.ts';
import type { JobStatus, StatusReport } from '../observe/status-report.ts';
import type { RelaySession } from '../observe/wal-status.ts';
import { wrapText } from '../observe/wrap-text.ts';
import type { GatheredStatus } from './gather-status.ts';
import { bytesText, secondsText } from './quantity-text.ts';
import { COUNT_LIMIT } from '../parking/parked-sinks.ts';
import { changeRows, type StatusChanges } from './status-changes.ts';
import { pausedRows, refusingRows, waitingRows } from './status-lanes.ts';
import type { Paint, StatusLine } from './status-line.ts';
import { valueIndent } from './text-table.ts';

export interface StatusTextOptions {
  readonly color: boolean;
  /** Of the terminal; undefined where there is none. */
  readonly width?: number | undefined;
  /** Since the last look. */
  readonly changes?: StatusChanges | undefined;
  /** It comes again and again, so it says when it was true. */
  readonly watched?: boolean;
  /** Names of the sinks that have endpoints, of the configuration; none by default. */
  readonly endpointSinks?: ReadonlySet<string>;
}

/** The status for people: two columns, no frames, nothing but text where there is no terminal. */
export function statusText(status: GatheredStatus, options: StatusTextOptions): string {
  const { color, width, changes, endpointSinks = new Set(), watched = false } = options;
  const { report, notes } = printableValue(status);
  const paint = pc.createColors(color);
  const rows: StatusLine[] = [
    ...(watched ? [['at', `${report.at.slice(0, 19).replace('T', ' ')} UTC`] satisfies StatusLine] : []),
    ...leaderRows(report, paint),
    ...processRows(report, paint),
    ...slotRows(report, paint),
    oldestRow(report, paint),
    ...walRows(report),
    ...heldRows(report, paint),
    ...(changes ? changeRows(changes) : []),
    ...flowRows(report),
    ...sinkRows(report, paint),
    ...endpointRows(report, paint),
    ...pausedRows(report, paint),
    ...refusingRows(report, paint, endpointSinks),
    ...storedRows(report, paint),
    ...waitingRows(report, paint, endpointSinks),
    ...alertRows(report, paint),
  ];
  const fitted = (text: string, indent: number): string =>
    width === undefined ? text : wrapText(text, width - indent).join('\n');
  const indent = valueIndent(
    rows.map(([name]) => name),
    width,
  );
  const style = { head: [], border: [], 'padding-left': 0, 'padding-right': 2 };
  const table = new Table({ chars: NO_FRAME, style, colWidths: [indent] });
  for (const [name, value] of rows) {
    const isLong = stripVTControlCharacters(name).length + 2 > indent;
    if (isLong) table.push([{ colSpan: 2, content: fitted(paint.dim(name), 2) }], ['', fitted(value, indent)]);
    else table.push([paint.dim(name), fitted(value, indent)]);
  }
  const text = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
  return `${[...text, ...notes.map((note) => fitted(paint.yellow(note), 0))].join('\n')}\n`;
}

const MOST_ENDPOINTS = 3;
const NO_FRAME = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((name) => [name, '']),
);

function leaderRows({ leader }: StatusReport, paint: Paint): StatusLine[] {
  const tint = { leader: paint.green, standby: paint.cyan, starting: paint.yellow, unknown: paint.yellow }[leader.role];
  const epoch = leader.epoch === null ? '' : `, epoch ${leader.epoch}`;
  return [['role', `${tint(leader.role)}${epoch}, ${leader.detail}`]];
}

function slotRows({ slot, lag }: StatusReport, paint: Paint): StatusLine[] {
  if (slot === null) return [['slot', UNKNOWN]];
  const tint = slot.walStatus === 'reserved' ? paint.green : slot.walStatus === 'extended' ? paint.yellow : paint.red;
  const rows: StatusLine[] = [
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
  return [
    ...rows,
    ['confirmed', slot.confirmedLsn ?? 'nothing'],
    ['lag', [...(lag.seconds === null ? [] : [secondsText(lag.seconds)]), bytes || UNKNOWN].join('; ')],
  ];
}

/** Parked events are settled for the slot, so the lag does not have them. */
function oldestRow({ lag }: StatusReport, paint: Paint): StatusLine {
  const { seconds, oldestSeconds: oldest } = lag;
  if (oldest === null) return ['oldest', UNKNOWN];
  if (oldest === 0) return ['oldest', 'no event waits'];
  const isParked = oldest > (seconds ?? 0);
  const text = `waits for ${secondsText(oldest)}${isParked ? ', parked' : ''}`;
  return ['oldest', isParked ? paint.yellow(text) : text];
}

function walRows({ slot, lag, wal }: StatusReport): StatusLine[] {
  if (slot === null || slot.walStatus === 'missing') return [];
  const retained = bytesText(lag.retainedBytes);
  if (slot.walStatus === 'lost') return [['WAL kept', retained]];
  const limit = bytesText(wal.limitBytes);
  const servers = lag.unlimited ? 'no limit of the server, ' : '';
  const ends =
    wal.limit === null
      ? `limit ${UNKNOWN}`
      : wal.limit === 'source.wal_warn'
        ? `${servers}walpost warns at ${limit}`
        : `the slot is lost at ${limit}`;
  return [
    ['WAL kept', `${retained}; ${ends}`],
    ['WAL left', `${bytesText(wal.leftBytes)}; ${timeLeftText(wal)}`],
  ];
}

function timeLeftText({ writtenBytesPerSecond: rate, secondsLeft }: StatusReport['wal']): string {
  if (rate === null) return `time ${UNKNOWN}: the rate is not measured yet`;
  if (secondsLeft === null) return rate === 0 ? 'no WAL is written now' : `time ${UNKNOWN}`;
  return `${secondsText(secondsLeft)} at ${bytesText(rate)} a second`;
}

/** What holds the slot back, the most important first; the remedy is with the alert where there is one. */
function heldRows({ heldBy, alerts }: StatusReport, paint: Paint): StatusLine[] {
  if (heldBy === null) return [['held by', UNKNOWN]];
  if (heldBy.length === 0) return [['held by', 'nothing']];
  return heldBy.map(({ kind, subject, message, remedy }): StatusLine => {
    const alert = alerts?.some((each) => each.name === `held_by_${kind}` && each.subject === subject);
    return [paint.yellow('held by'), alert ? message : `${message}. ${remedy}`];
  });
}

function processRows({ processes }: StatusReport, paint: Paint): StatusLine[] {
  if (processes === null) return [['processes', UNKNOWN]];
  const { leader, standbys } = processes;
  const text = ({ pid, address }: RelaySession): string =>
    `server process ${pid ?? UNKNOWN}${address === null ? '' : ` from ${address}`}`;
  const none = leader ? 'no standby (a second `walpost run` stands by)' : 'no standby';
  const waiting = standbys.length === 0 ? none : `standby ${standbys.map(text).join(', ')}`;
  return [['processes', `${leader ? `leader ${text(leader)}` : paint.red('no leader')}; ${waiting}`]];
}

function alertRows({ alerts, heldBy }: StatusReport, paint: Paint): StatusLine[] {
  if (alerts === null) return [['alerts', UNKNOWN]];
  if (alerts.length === 0) return [['alerts', 'none']];
  return alerts.map(({ name, severity, subject, message, remedy }): StatusLine => {
    const tint = severity === 'critical' ? paint.red : paint.yellow;
    const isShown = heldBy?.some((each) => each.message === message);
    return [
      tint(severity),
      `${name}, ${subject}: ${isShown ? 'see `held by`' : message.replace(/\.$/, '')}. ${remedy}`,
    ];
  });
}

function flowRows(report: StatusReport): StatusLine[] {
  if (report.lanes === null) return [];
  const lanes = Object.entries(report.lanes).filter(([, count]) => count > 0);
  const open = report.openTransactions ?? UNKNOWN;
  const age = report.lastReceivedAgeSeconds;
  return [
    ['lanes', lanes.map(([state, count]) => `${count} ${state}`).join(', ') || 'none'],
    ['buffered', `${bytesText(report.bufferedBytes)} of ${bytesText(report.budgetBytes)}, ${open} open transactions`],
    ['received', age === null ? UNKNOWN : `${secondsText(age)} ago`],
  ];
}

function sinkRows({ breakers, parked }: StatusReport, paint: Paint): StatusLine[] {
  const tints = { closed: paint.green, half_open: paint.yellow, open: paint.red };
  const names = { closed: 'closed', half_open: 'half open', open: 'open' };
  const known = (breakers ?? []).map(({ sink, state }): StatusLine => {
    const waiting = parked?.find((each) => each.sink === sink)?.count ?? 0;
    return [
      `sink ${sink}`,
      `breaker ${tints[state](names[state])}${waiting > 0 ? `, ${countText(waiting)} parked` : ''}`,
    ];
  });
  const others = (parked ?? []).filter(({ sink }) => !breakers?.some((breaker) => breaker.sink === sink));
  return [...known, ...others.map(({ sink, count }): StatusLine => [`sink ${sink}`, `${countText(count)} parked`])];
}

/** Of those that fail the three that have failed longest; `walpost endpoints list --failing` has all. */
function endpointRows({ endpoints }: StatusReport, paint: Paint): StatusLine[] {
  if (endpoints === null) return [];
  const { enabled, paused, failing, silent, first } = endpoints;
  const counts = `${enabled} enabled, ${paused} paused`;
  const fails = failing === 0 ? '' : `, ${paint.yellow(`${failing} failing`)}`;
  const held = silent ? `; ${paint.yellow('nothing is sent: the database is a copy (walpost endpoints adopt)')}` : '';
  const rows = first.slice(0, MOST_ENDPOINTS).map(({ endpoint, organizationId, host, since, reason }): StatusLine => {
    const place = `${endpoint} of organization ${organizationId} at ${host ?? UNKNOWN}`;
    return [paint.yellow('endpoint'), `${place} fails since ${since.slice(0, 19).replace('T', ' ')} UTC: ${reason}`];
  });
  return [['endpoints', `${counts}${fails}${held}`], ...rows];
}

function storedRows({ deadLetters, parked, jobs, slot }: StatusReport, paint: Paint): StatusLine[] {
  const reasons = deadLetters?.map(
    ({ sink, reason, count }) => `${count} ${reason}${sink === null ? '' : ` (${sink})`}`,
  );
  const dead = deadLetters && sum(deadLetters);
  const open = jobs?.map((job) => jobText(job, slot));
  return [
    ['parked', parked ? countText(sum(parked)) : UNKNOWN],
    [
      'dead letters',
      dead === null ? UNKNOWN : dead === 0 ? '0' : `${paint.red(countText(dead))}: ${reasons?.join(', ')}`,
    ],
    ['jobs', open ? open.join('; ') || 'none' : UNKNOWN],
  ];
}

function jobText({ id, kind, state, scanned, settled, reason }: JobStatus, slot: StatusReport['slot']): string {
  const alone = slot !== null && !slot.active ? ', waits for a relay' : '';
  const why = reason === null ? '' : ` (${reason})`;
  return `${kind} ${id} ${state}, ${scanned} scanned, ${settled} sent${alone}${why}`;
}

const UNKNOWN = 'unknown';

/** Counting ends there. */
function countText(count: number): string {
  return count >= COUNT_LIMIT ? `${COUNT_LIMIT}+` : String(count);
}

function sum(counts: readonly { readonly count: number }[]): number {
  return counts.reduce((total, { count }) => total + count, 0);
}
