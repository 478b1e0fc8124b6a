import type { Config } from '../config/schema.ts';
import type { StatusReport } from '../observe/status-report.ts';
import { VERSION } from '../version.ts';
import type { DatabaseAnswer } from './ask-database.ts';
import type { ProcessAnswer } from './ask-process.ts';

/** One report from both, and what could not be asked. */
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
    import('./ask-database.ts'),
  ]);
  return joinAnswers(...(await Promise.all([askProcess(config), askDatabase(config)])));
}

/** The process knows itself; of the slot the database knows more, and more freshly. */
export function joinAnswers(fromProcess: ProcessAnswer, database: DatabaseAnswer): GatheredStatus {
  const notes = [fromProcess, database].flatMap((answer) => (answer.kind === 'silent' ? [answer.reason] : []));
  const base = fromProcess.kind === 'answered' ? fromProcess.report : nobody();
  const facts = database.kind === 'answered' ? database.facts : undefined;
  const report: StatusReport = facts
    ? {
        ...base,
        slot: facts.slot,
        lag: { ...base.lag, ...facts.lag, unreadBytes: base.lag.unreadBytes },
        deadLetters: facts.deadLetters,
        parked: facts.parked,
      }
    : base;
  return { report, notes, process: fromProcess.kind, database: database.kind };
}

function nobody(): StatusReport {
  return {
    version: VERSION,
    at: new Date().toISOString(),
    leader: { role: 'unknown', epoch: null, detail: 'no process answered' },
    slot: null,
    lag: { unreadBytes: null, unconfirmedBytes: null, retainedBytes: null, safeBytes: null, seconds: null },
    lanes: null,
    breakers: [],
    bufferedBytes: null,
    budgetBytes: null,
    openTransactions: null,
    lastReceivedAgeSeconds: null,
    parked: [],
    deadLetters: [],
    jobs: [],
    stalls: [],
  };
}
