import type { StatusReport } from '../../src/observe/status-report.ts';

/** A healthy leader with something in every part. */
export function sampleReport(changes: Partial<StatusReport> = {}): StatusReport {
  return {
    version: '1.2.3',
    at: '2026-11-20T14:00:00.000Z',
    leader: { role: 'leader', epoch: 7, detail: 'streaming from walpost_app' },
    slot: { name: 'walpost_app', walStatus: 'reserved', active: true, restartLsn: '0/10', confirmedLsn: '0/20' },
    lag: {
      oldestSeconds: 60,
      unreadBytes: 1,
      unconfirmedBytes: 2048,
      retainedBytes: 5 * 1024 ** 2,
      safeBytes: null,
      unlimited: true,
      seconds: 0.25,
    },
    heldBy: [],
    wal: {
      limit: 'source.wal_warn',
      limitBytes: 4 * 1024 ** 3,
      leftBytes: 4 * 1024 ** 3 - 5 * 1024 ** 2,
      writtenBytesPerSecond: 1024 ** 2,
      secondsLeft: 4091,
    },
    processes: { leader: { pid: 11, address: '127.0.0.1' }, standbys: [] },
    counts: { received: 30, delivered: 20 },
    lanes: { gathering: 2, sending: 1, idle: 0 },
    breakers: [
      { sink: 'live', state: 'closed' },
      { sink: 'n8n', state: 'open' },
    ],
    endpoints: null,
    failing: [
      { sink: 'live', organizations: 0 },
      { sink: 'n8n', organizations: 2 },
    ],
    bufferedBytes: 4096,
    refusing: [],
    budgetBytes: 64 * 1024 ** 2,
    openTransactions: 3,
    lastReceivedAgeSeconds: 0.5,
    parked: [{ sink: 'n8n', count: 12, oldestAgeSeconds: 60 }],
    paused: [],
    waiting: { total: 0, first: [] },
    deadLetters: [
      { sink: null, reason: 'poison', count: 1 },
      { sink: 'n8n', reason: 'rejected', count: 2 },
    ],
    jobs: [],
    stalls: [],
    alerts: [],
    ...changes,
  };
}
