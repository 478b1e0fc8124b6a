import type { Config } from '../config/schema.ts';
import { oldestSeconds, type StatusReport } from '../observe/status-report.ts';
import { UNKNOWN_BUDGET, type WalHolder } from '../observe/wal-status.ts';
import { joinAlerts, ownAlerts } from '../relay/status/alerts.ts';
import type { DatabaseAnswer } from '../relay/status/ask-database.ts';
import { withOwn } from '../relay/status/holders.ts';
import { walBudget, WalRate } from '../relay/status/wal-budget.ts';
import { VERSION } from '../version.ts';
import type { ProcessAnswer } from './ask-process.ts';

/** One report from the process and the database, and which of them could not be asked. */
export interface GatheredStatus {
  readonly report: StatusReport;
  /** Sentences for the reader; empty when both answered. */
  readonly notes: readonly string[];
  readonly process: ProcessAnswer['kind'];
  readonly database: DatabaseAnswer['kind'];
  /** walpost.alerts was read, so that an empty list of alerts means that all is well. */
  readonly allAlerts: boolean;
}

export async function gatherStatus(config: Config, rate = new WalRate()): Promise<GatheredStatus> {
  const [{ askProcess }, { askDatabase }] = await Promise.all([
    import('./ask-process.ts'),
    import('../relay/status/ask-database.ts'),
  ]);
  const [fromProcess, database] = await Promise.all([askProcess(config), askDatabase(config)]);
  const measured = database.kind === 'answered' ? rate.seen(database.facts.walEnd, performance.now()) : null;
  return joinAnswers(fromProcess, database, { walWarn: config.source.wal_warn, measured });
}

export interface JoinOptions {
  readonly walWarn: number;
  /** Bytes of WAL a second, as this command has measured them. */
  readonly measured: number | null;
}

const NOT_ALL_ALERTS = 'walpost.alerts could not be read: alerts may be missing here. See `walpost migrate --plan`.';

/** Of itself the process knows more; of the slot and what is stored the database knows more, and what it says is newer. */
export function joinAnswers(
  fromProcess: ProcessAnswer,
  database: DatabaseAnswer,
  options: JoinOptions,
): GatheredStatus {
  const notes = [fromProcess, database].flatMap((answer) => (answer.kind === 'silent' ? [answer.reason] : []));
  const base = fromProcess.kind === 'answered' ? { ...unknownReport(), ...fromProcess.report } : unknownReport();
  const asked = { process: fromProcess.kind, database: database.kind };
  if (database.kind === 'silent') return { report: base, notes, ...asked, allAlerts: false };
  notes.push(...database.notes, ...(database.facts.alerts === null ? [NOT_ALL_ALERTS] : []));
  const allAlerts = database.facts.alerts !== null;
  return { report: joined(base, database.facts, options), notes, ...asked, allAlerts };
}

const OF_PROCESS: ReadonlySet<string> = new Set(['no_replication_role', 'breaker_open']);

type Facts = Extract<DatabaseAnswer, { kind: 'answered' }>['facts'];

function joined(base: StatusReport, facts: Facts, { walWarn, measured }: JoinOptions): StatusReport {
  const { sessions } = facts;
  const parked = facts.parked ?? base.parked;
  const oldest = oldestSeconds(base.lag.seconds, parked);
  const lag = { ...base.lag, ...facts.lag, unreadBytes: base.lag.unreadBytes, oldestSeconds: oldest };
  const report = {
    ...base,
    slot: facts.slot,
    lag,
    heldBy: facts.heldBy === null ? base.heldBy : heldBy(base, facts.heldBy),
    wal: walBudget(lag, walWarn, base.wal.writtenBytesPerSecond ?? measured),
    processes: sessions ? { leader: sessions.leader, standbys: sessions.standbys } : base.processes,
    deadLetters: facts.deadLetters ?? base.deadLetters,
    parked,
    paused: facts.paused ?? base.paused,
    waiting: facts.waiting ?? base.waiting,
    jobs: facts.jobs ?? base.jobs,
  };
  // What was looked at again is not taken from the process, but it alone knows of its login and its breakers.
  const ofProcess = (base.alerts ?? []).filter(({ name }) => OF_PROCESS.has(name));
  const known = sessions && facts.heldBy ? ofProcess : (base.alerts ?? []);
  const alerts = joinAlerts(ownAlerts({ ...report, breakers: null }, sessions, Date.now()), facts.alerts ?? [], known);
  return { ...report, alerts: facts.alerts === null && alerts.length === 0 ? null : alerts };
}

function heldBy(base: StatusReport, stored: readonly WalHolder[]): readonly WalHolder[] {
  if (base.leader.role !== 'leader') return stored;
  return withOwn(
    stored,
    (base.heldBy ?? []).filter(({ kind }) => kind === 'lane' || kind === 'stall'),
  );
}

function unknownReport(): StatusReport {
  return {
    version: VERSION,
    at: new Date().toISOString(),
    leader: { role: 'unknown', epoch: null, detail: 'no process answered' },
    slot: null,
    lag: {
      unreadBytes: null,
      unconfirmedBytes: null,
      retainedBytes: null,
      safeBytes: null,
      unlimited: null,
      seconds: null,
      oldestSeconds: null,
    },
    heldBy: null,
    wal: UNKNOWN_BUDGET,
    processes: null,
    counts: null,
    lanes: null,
    refusing: null,
    breakers: null,
    failing: null,
    endpoints: null,
    bufferedBytes: null,
    budgetBytes: null,
    openTransactions: null,
    lastReceivedAgeSeconds: null,
    parked: null,
    paused: null,
    waiting: null,
    deadLetters: null,
    jobs: null,
    stalls: null,
    alerts: null,
  };
}
