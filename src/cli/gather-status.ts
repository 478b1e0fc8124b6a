import type { Config } from '../config/schema.ts';
import type { StatusReport } from '../observe/status-report.ts';
import { VERSION } from '../version.ts';
import type { DatabaseAnswer } from '../relay/status/database-facts.ts';
import type { ProcessAnswer } from './ask-process.ts';

/** One report from the process and the database, and which of them could not be asked. */
export interface GatheredStatus {
  readonly report: StatusReport;
  /** Sentences for the reader; empty when both answered. */
  readonly notes: readonly string[];
  readonly process: ProcessAnswer['kind'];
  readonly database: DatabaseAnswer['kind'];
}

export async function gatherStatus(config: Config): Promise<GatheredStatus> {
  const [{ askProcess }, { askDatabase }] = await Promise.all([
    import('./ask-process.ts'),
    import('../relay/status/database-facts.ts'),
  ]);
  return joinAnswers(...(await Promise.all([askProcess(config), askDatabase(config)])));
}

/** Of itself the process knows more; of the slot and what is stored the database knows more, and what it says is newer. */
export function joinAnswers(fromProcess: ProcessAnswer, database: DatabaseAnswer): GatheredStatus {
  const notes = [fromProcess, database].flatMap((answer) => (answer.kind === 'silent' ? [answer.reason] : []));
  if (database.kind === 'answered') notes.push(...database.notes);
  const base = fromProcess.kind === 'answered' ? fromProcess.report : unknownReport();
  const facts = database.kind === 'answered' ? database.facts : undefined;
  const report: StatusReport = facts
    ? {
        ...base,
        slot: facts.slot,
        lag: { ...base.lag, ...facts.lag, unreadBytes: base.lag.unreadBytes },
        deadLetters: facts.deadLetters ?? base.deadLetters,
        parked: facts.parked ?? base.parked,
        waiting: facts.waiting ?? base.waiting ?? null,
        jobs: facts.jobs ?? base.jobs,
        alerts: facts.alerts ?? base.alerts,
      }
    : base;
  return { report, notes, process: fromProcess.kind, database: database.kind };
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
    },
    lanes: null,
    refusing: null,
    breakers: null,
    bufferedBytes: null,
    budgetBytes: null,
    openTransactions: null,
    lastReceivedAgeSeconds: null,
    parked: null,
    waiting: null,
    deadLetters: null,
    jobs: null,
    stalls: null,
    alerts: null,
  };
}
