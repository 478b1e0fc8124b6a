/** The alerts of a report: what the process and one look at the database know, and what walpost.alerts says beyond that. */
import type pg from 'pg';
import { type Alert, type BreakerStatus, type StatusReport, toAlert } from '../../observe/status-report.ts';
import { stallRemedy } from '../../observe/stall-remedy.ts';
import type { WalHolder } from '../../observe/wal-status.ts';
import type { WalpostError } from '../../errors.ts';
import { databaseError } from '../../postgres/database-error.ts';
import type { RelaySessions } from './relay-sessions.ts';

/** As alert_held_seconds has it by default: transactions of some minutes are usual. */
const HELD_MS = 300_000;
/** Of what the server keeps at most. */
const MUCH = 0.5;
const TOO_MUCH = 0.8;

type Judged = Pick<StatusReport, 'slot' | 'lag' | 'wal' | 'heldBy' | 'stalls' | 'breakers' | 'parked'> & {
  /** Of the login that streams, while it could not start anew. */
  readonly loginProblem?: WalpostError | undefined;
};

/** What this process can tell without reading tables. */
export function ownAlerts(report: Judged, sessions: RelaySessions | null, now: number): readonly Alert[] {
  const slot = report.slot?.name ?? 'unknown';
  const stranger = sessions?.stranger;
  return bySeverity([
    ...(stranger ? [toAlert(stranger, slot)] : []),
    ...lostSlot(report),
    ...(report.loginProblem ? [toAlert(report.loginProblem, slot)] : []),
    ...(report.stalls ?? []).map(({ what, waiting, message }): Alert => ({
      name: 'stalled',
      severity: 'critical',
      subject: slot,
      message: `${what}: ${waiting} events wait for the database, and with them the slot: ${message}`,
      remedy: stallRemedy(message),
    })),
    ...budgetAlerts(report),
    ...(report.breakers ?? []).filter((breaker) => isOpen(breaker, report.parked)).map(breakerAlert),
    ...(report.heldBy ?? []).filter((holder) => isAlert(holder, now)).map(heldAlert),
  ]);
}

/** The most severe first; each once, as the first list has it. */
export function joinAlerts(...lists: readonly (readonly Alert[])[]): readonly Alert[] {
  const found = new Map<string, Alert>();
  for (const alert of lists.flat()) {
    const key = JSON.stringify([alert.name, alert.subject]);
    if (!found.has(key)) found.set(key, alert);
  }
  return bySeverity([...found.values()]);
}

function bySeverity(alerts: readonly Alert[]): readonly Alert[] {
  const rank = { critical: 0, warning: 1 };
  return alerts.toSorted((one, other) => rank[one.severity] - rank[other.severity]);
}

function lostSlot({ slot }: Judged): readonly Alert[] {
  if (slot?.walStatus !== 'lost' && slot?.walStatus !== 'unreserved') return [];
  const message =
    slot.walStatus === 'lost'
      ? 'the server has given the slot up, and what it kept is gone'
      : 'the slot is about to be lost';
  const remedy =
    slot.walStatus === 'lost'
      ? 'Start walpost: with source.on_slot_lost: heal it makes the slot again, and sends the missed rows from the table.'
      : 'Run the relay, or raise max_slot_wal_keep_size, before the slot is lost.';
  return [{ name: `slot_${slot.walStatus}`, severity: 'critical', subject: slot.name, message, remedy }];
}

function budgetAlerts({ slot, lag, wal }: Judged): readonly Alert[] {
  const { retainedBytes: kept } = lag;
  const { limit, limitBytes } = wal;
  if (!slot || kept === null || limitBytes === null) return [];
  const share = kept / limitBytes;
  if (limit === 'source.wal_warn' ? share < 1 : share <= MUCH) return [];
  const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
  const left = wal.secondsLeft === null ? '' : `, in ${Math.round(wal.secondsLeft / 60)} min at the present rate`;
  return [
    {
      name: 'wal_budget',
      severity: limit === 'max_slot_wal_keep_size' && share > TOO_MUCH ? 'critical' : 'warning',
      subject: slot.name,
      message:
        limit === 'source.wal_warn'
          ? `the server keeps ${mebibytes(kept)} of WAL for the slot, more than source.wal_warn (${mebibytes(limitBytes)})`
          : `the server keeps ${mebibytes(kept)} of WAL for the slot, which is lost at ${mebibytes(limitBytes)}${left}`,
      remedy:
        'See what holds the slot back (heldBy). Meanwhile raise max_slot_wal_keep_size, or make room on the disk.',
    },
  ];
}

/**
 * One that lets a batch through as its probe is half open. So is one at whose sink nothing waits any more: it stays so until the
 * next event.
 */
function isOpen({ sink, state }: BreakerStatus, parked: StatusReport['parked']): boolean {
  if (state !== 'half_open') return state === 'open';
  return parked === null || parked.some((each) => each.sink === sink && each.count > 0);
}

function breakerAlert({ sink }: BreakerStatus): Alert {
  return {
    name: 'breaker_open',
    severity: 'warning',
    subject: `sink ${sink}`,
    message: 'the circuit breaker is open: the destination fails for several organizations, and is only probed',
    remedy: `Mend the destination: \`walpost status\` says how. Delivery then goes on by itself: the breaker lets a batch through every now and then.`,
  };
}

/** Stalls and a relay that is missing have alerts of their own. */
function isAlert({ kind, since }: WalHolder, now: number): boolean {
  if (kind === 'stall' || kind === 'relay') return false;
  return since === null || now - Date.parse(since) > HELD_MS;
}

function heldAlert({ kind, subject, message, remedy }: WalHolder): Alert {
  return { name: `held_by_${kind}`, severity: kind === 'standby' ? 'critical' : 'warning', subject, message, remedy };
}

/** The messages of these begin behind the number. */
const COUNTED: ReadonlySet<string> = new Set([
  'undelivered',
  'waiting',
  'oldest_undelivered',
  'average_delivery',
  'average_delivery_critical',
  'dead_letters',
  'failing_organizations',
  'refusing_organizations',
  'blocked_organizations',
  'no_progress',
  'no_relay',
]);

const READ = `SELECT name, severity, coalesce(subject, 'walpost') AS subject, value::text, message, remedy FROM walpost.alerts`;

interface AlertRow extends Alert {
  readonly value: string | null;
}

/** What the database finds wrong. Its alerts about WAL are left out: the configuration says at which size the status warns. */
export async function readAlerts(pool: pg.Pool): Promise<readonly Alert[]> {
  try {
    const { rows } = await pool.query<AlertRow & object>(READ);
    return rows
      .filter(({ name }) => name !== 'wal_budget')
      .map(({ value, message, ...alert }) => ({
        ...alert,
        message: COUNTED.has(alert.name) && value !== null ? `${Math.round(Number(value))} ${message}` : message,
      }));
  } catch (error) {
    throw databaseError(error, 'reading walpost.alerts');
  }
}
