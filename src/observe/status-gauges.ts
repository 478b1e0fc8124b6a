import { Gauge, type Registry } from 'prom-client';
import type { Role, Stall, StatusReport } from './status-report.ts';

const WAL_STATUSES = ['reserved', 'extended', 'unreserved', 'lost', 'missing'];
const ROLES: readonly Role[] = ['leader', 'standby', 'starting'];
const JOB_KINDS = ['heal', 'replay', 'redrive'];
const JOB_STATES = ['queued', 'running'];
const STALLS: readonly Stall['what'][] = [
  'parking',
  'dead letters',
  'canaries',
  'endpoints',
  'removing delivered events',
];
const ENDPOINT_STATES = ['enabled', 'paused', 'failing'] as const;
const BREAKER_VALUES = { closed: 0, half_open: 1, open: 2 } as const;

function createGauges(registry: Registry) {
  const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> =>
    new Gauge({ name: `walpost_${name}`, help, labelNames, registers: [registry] });
  return {
    unconfirmed: gauge('slot_unconfirmed_bytes', 'WAL that is written and not confirmed.'),
    unread: gauge('slot_unread_bytes', 'WAL that is written and not received.'),
    safe: gauge('slot_safe_bytes', 'WAL that may be written before the slot is lost; +Inf without a limit.'),
    retained: gauge('wal_retained_bytes', 'WAL that the server keeps on disk for the slot.'),
    walBudget: gauge(
      'wal_budget_bytes',
      'What it may become: max_slot_wal_keep_size or source.wal_warn, the nearer one.',
    ),
    walTimeLeft: gauge('wal_time_left_seconds', 'Until then, at the rate at which WAL was written between two looks.'),
    walStatus: gauge('slot_status', '1 for the state that the slot is in.', ['status']),
    leader: gauge('leader', '1 when this process is the leader.'),
    role: gauge('role', '1 for the role that this process has.', ['role']),
    standbys: gauge('standbys', 'Processes that stand by for the slot, as the server sees them.'),
    stalled: gauge('stalled_events', 'Events that wait for a write that fails.', ['what']),
    failing: gauge('failing_organizations', 'Organizations whose deliveries fail now.', ['sink']),
    endpoints: gauge('endpoints', 'Endpoints of customers by state; those that fail are enabled too.', ['state']),
    jobs: gauge('jobs', 'Jobs that are queued or running.', ['kind', 'state']),
    parkedOldest: gauge('parked_oldest_seconds', 'Age of the oldest event that waits in Postgres.', ['sink']),
    breaker: gauge('breaker_state', 'Circuit breaker: 0 closed, 1 half open, 2 open.', ['sink']),
    lanes: gauge('lanes', 'Lanes by state.', ['state']),
    buffered: gauge('buffered_bytes', 'What the events in the process hold.'),
    budget: gauge('budget_bytes', 'What the events in the process may hold.'),
    open: gauge('open_transactions', 'Transactions with an event that is not settled.'),
    age: gauge('last_received_age_seconds', 'Since the server last sent anything.'),
    oldest: gauge('oldest_unsettled_seconds', 'Age of the oldest event that is not settled.'),
    parked: gauge('parked_events', 'Events that wait in Postgres for a sink.', ['sink']),
    dead: gauge('dead_letters', 'Events that wait in Postgres for a person.', ['sink', 'reason']),
  };
}

/** The gauges, filled from one status report; NaN is unknown, and those of the WAL budget are left out then. */
export class StatusGauges {
  private readonly gauges: ReturnType<typeof createGauges>;

  constructor(registry: Registry) {
    this.gauges = createGauges(registry);
  }

  /** @param role undefined when it is not known */
  fill(report: StatusReport | undefined, role: StatusReport['leader']['role'] | undefined): void {
    const known = role === 'unknown' ? undefined : role;
    const { leader, role: roles } = this.gauges;
    leader.set(known === undefined ? NaN : known === 'leader' ? 1 : 0);
    roles.reset();
    if (known !== undefined) for (const each of ROLES) roles.set({ role: each }, each === known ? 1 : 0);
    this.fillNumbers(report);
    this.fillStored(report);
    this.fillSinks(report);
  }

  /** What is in the database. */
  private fillStored(report: StatusReport | undefined): void {
    const { walStatus, parked, parkedOldest, dead, jobs } = this.gauges;
    for (const gauge of [walStatus, parked, parkedOldest, dead, jobs]) gauge.reset();
    const slot = report?.slot?.walStatus;
    if (slot !== undefined) for (const status of WAL_STATUSES) walStatus.set({ status }, slot === status ? 1 : 0);
    for (const { sink, count, oldestAgeSeconds } of report?.parked ?? []) {
      parked.set({ sink }, count);
      if (oldestAgeSeconds !== null) parkedOldest.set({ sink }, oldestAgeSeconds);
    }
    for (const { sink, reason, count } of report?.deadLetters ?? []) dead.set({ sink: sink ?? 'none', reason }, count);
    if (!report?.jobs) return;
    for (const kind of JOB_KINDS) for (const state of JOB_STATES) jobs.set({ kind, state }, 0);
    for (const { kind, state } of report.jobs) jobs.inc({ kind, state });
  }

  /** What the process knows of its sinks and lanes. */
  private fillSinks(report: StatusReport | undefined): void {
    const { breaker, lanes, failing, stalled, endpoints } = this.gauges;
    for (const gauge of [breaker, lanes, failing, stalled, endpoints]) gauge.reset();
    for (const state of ENDPOINT_STATES) if (report?.endpoints) endpoints.set({ state }, report.endpoints[state]);
    for (const { sink, state } of report?.breakers ?? []) breaker.set({ sink }, BREAKER_VALUES[state]);
    for (const [state, count] of Object.entries(report?.lanes ?? {})) lanes.set({ state }, count);
    for (const { sink, organizations } of report?.failing ?? []) failing.set({ sink }, organizations);
    if (!report?.stalls) return;
    for (const what of STALLS) stalled.set({ what }, 0);
    for (const { what, waiting } of report.stalls) stalled.set({ what }, waiting);
  }

  private fillNumbers(report: StatusReport | undefined): void {
    const { unconfirmed, unread, safe, oldest, buffered, budget, open, age, standbys } = this.gauges;
    const { lag } = report ?? {};
    const values: [Gauge, number | null | undefined][] = [
      [unconfirmed, lag?.unconfirmedBytes],
      [unread, lag?.unreadBytes],
      [safe, lag?.safeBytes ?? (lag?.unlimited ? Infinity : null)],
      [oldest, lag?.seconds],
      [buffered, report?.bufferedBytes],
      [budget, report?.budgetBytes],
      [open, report?.openTransactions],
      [age, report?.lastReceivedAgeSeconds],
      [standbys, report?.processes?.standbys.length],
    ];
    for (const [gauge, value] of values) gauge.set(value ?? NaN);
    this.fillBudget(report);
  }

  private fillBudget(report: StatusReport | undefined): void {
    const { retained, walBudget, walTimeLeft } = this.gauges;
    const ofWal: [Gauge, number | null | undefined][] = [
      [retained, report?.lag.retainedBytes],
      [walBudget, report?.wal.limitBytes],
      [walTimeLeft, report?.wal.secondsLeft],
    ];
    for (const [gauge, value] of ofWal) {
      if (value == null) gauge.remove();
      else gauge.set(value);
    }
  }
}
