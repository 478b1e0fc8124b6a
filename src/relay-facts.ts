/** The part of the status that the database knows. */
import { formatLsn, maxLsn, type Lsn } from './lsn.ts';
import type { StatusReport } from './observe/status-report.ts';
import { countDeadLetters } from './parking/dead-letter-counts.ts';
import { openJobs } from './jobs/job-rows.ts';
import { countParked } from './parking/parked-sinks.ts';
import type { Relay } from './relay.ts';
import type { Standby } from './relay-ground.ts';
import { inspectSlot, type SlotFacts } from './slot/slot-state.ts';

export type Facts = Pick<StatusReport, 'slot' | 'deadLetters' | 'parked' | 'jobs'> & {
  readonly lag: Omit<StatusReport['lag'], 'seconds'>;
};

/** When the database cannot be asked. */
export const NO_FACTS: Facts = {
  slot: null,
  lag: { unreadBytes: null, unconfirmedBytes: null, retainedBytes: null, safeBytes: null },
  deadLetters: [],
  parked: [],
  jobs: [],
};

/** A standby receives nothing, so it does not know what is unread. */
export async function readFacts(
  { pool, slot }: Pick<Standby, 'pool' | 'slot'>,
  stream: Relay['slot'] | undefined,
): Promise<Facts> {
  try {
    const [state, deadLetters, parked, jobs] = await Promise.all([
      inspectSlot(pool, slot),
      countDeadLetters(pool),
      countParked(pool, slot),
      openJobs(pool, slot),
    ]);
    const facts = state.kind === 'missing' ? undefined : state.facts;
    return {
      slot: {
        name: slot,
        walStatus: facts ? (facts.walStatus ?? 'lost') : 'missing',
        active: facts?.holder != null,
        restartLsn: lsnText(facts?.restartLsn),
        confirmedLsn: lsnText(facts?.confirmedFlushLsn),
      },
      lag: {
        unreadBytes: stream ? unread(facts, maxLsn(stream.received, stream.serverEnd)) : null,
        unconfirmedBytes: facts?.unconfirmedBytes ?? null,
        retainedBytes: facts?.retainedBytes ?? null,
        safeBytes: facts?.safeBytes ?? null,
      },
      deadLetters,
      parked,
      jobs: jobs.map(({ id, kind, state, scanned }) => ({ id, kind, state, scanned })),
    };
  } catch {
    return NO_FACTS;
  }
}

/** The server's end is its confirmed position and what lies behind it. */
function unread(facts: SlotFacts | undefined, received: Lsn): number | null {
  if (!facts || facts.confirmedFlushLsn === null || facts.unconfirmedBytes === null) return null;
  const behind = facts.unconfirmedBytes - Number(maxLsn(received, facts.confirmedFlushLsn) - facts.confirmedFlushLsn);
  return Math.max(0, behind);
}

function lsnText(lsn: Lsn | null | undefined): string | null {
  return lsn == null ? null : formatLsn(lsn);
}
