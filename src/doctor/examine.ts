/**
 * `walpost doctor`: looks at the whole surroundings of an installation. Facts are read first (facts/), then each check judges
 * those that it needs (checks/); a check decides nothing else and asks nobody.
 */
import type { Clock } from '../clock.ts';
import type { ConfigApart } from '../config/load-apart.ts';
import type { FindingSeverity } from './catalogue.ts';
import { judgeTransactions, judgeOtherSlots } from './checks/held-back.ts';
import { type CheckContext, contextOf, placeOf, startFinding } from './checks/context.ts';
import { judgeConnections, judgeLogin, judgeRights } from './checks/login.ts';
import { judgeCaptures, judgeDefaults, judgeDeviations, judgeInsiders, judgeOwnerLogins } from './checks/rights.ts';
import { judgeTopicRetentions } from './checks/retention.ts';
import { judgeSettings, judgeSlotPlaces, judgeStart } from './checks/server.ts';
import { judgeParked, judgeAsked, judgeSinkConfig } from './checks/sinks.ts';
import { judgeFailover } from './checks/failover.ts';
import { judgeOwnSlot } from './checks/slot.ts';
import {
  judgeCompleteness,
  judgeNeverRun,
  judgePublication,
  judgeSchema,
  judgeSource,
  judgeStartOf,
} from './checks/source.ts';
import { judgeClocks } from './checks/clocks.ts';
import { both, factOf, judge, type CheckOutcome, together } from './fact.ts';
import { type DatabaseFindings, readFacts } from './facts/read-facts.ts';
import { probeSinks } from './facts/probe.ts';
import type { DoctorFinding } from './finding.ts';
import { type DoctorLimits, LIMITS } from './limits.ts';

export interface ExaminationOptions {
  readonly config: ConfigApart;
  /** Connect to the destinations of sinks. */
  readonly probe: boolean;
  readonly clock: Clock;
  readonly limits?: DoctorLimits;
}

export interface Examination {
  /** The most severe first. */
  readonly findings: readonly DoctorFinding[];
  /** Checks that were made, whole or in part. */
  readonly ran: readonly string[];
  /** What could not be found out, and why. */
  readonly notKnown: readonly { readonly check: string; readonly reason: string }[];
  readonly notAsked: readonly { readonly check: string; readonly reason: string }[];
}

const RANKS: Readonly<Record<FindingSeverity, number>> = { critical: 0, warning: 1, note: 2 };
const NOT_PROBED = 'it connects to destinations; ask with --probe';

export async function examine(options: ExaminationOptions): Promise<Examination> {
  const { config: apart, probe, clock, limits = LIMITS } = options;
  const { config, sinkProblems } = apart;
  const look = await readFacts(config, clock);
  const context = contextOf(config, limits, 'facts' in look ? look.facts : undefined);
  const outcomes: [check: string, outcome: CheckOutcome][] = [
    ['sink configuration', judgeSinkConfig(sinkProblems, config, probe)],
    ...('facts' in look ? ofDatabase(look.facts, context, sinkProblems.length === 0) : unreachable(look, context)),
  ];
  if (probe && sinkProblems.length === 0) {
    const probed = await factOf(() => probeSinks(config, clock));
    outcomes.push(['sinks reachable', 'unknown' in probed ? judge(probed, () => []) : judgeAsked(probed.value)]);
  } else if (probe) {
    outcomes.push(['sinks reachable', { findings: [], unknown: ['the configuration of the sinks has problems'] }]);
  }
  return {
    findings: outcomes
      .flatMap(([, { findings }]) => findings)
      .toSorted((a, b) => RANKS[a.severity] - RANKS[b.severity]),
    ran: outcomes.flatMap(([check, { findings, unknown }]) =>
      findings.length > 0 || unknown.length === 0 ? [check] : [],
    ),
    notKnown: outcomes.flatMap(([check, { unknown }]) => unknown.map((reason) => ({ check, reason }))),
    notAsked: probe ? [] : [{ check: 'sinks reachable', reason: NOT_PROBED }],
  };
}

function unreachable(
  { unreachable: error }: { readonly unreachable: unknown },
  context: CheckContext,
): [string, CheckOutcome][] {
  const subject = placeOf(context.host);
  const unknown = ['the database was not reached'];
  return CHECKS.map((check): [string, CheckOutcome] =>
    check === 'connection'
      ? [check, { findings: [startFinding(error, subject, context)], unknown: [] }]
      : [check, { findings: [], unknown }],
  );
}

/** In the order in which they are listed. */
const CHECKS = [
  'connection',
  'server settings',
  'login',
  'connections',
  'schema',
  'start',
  'source',
  'publication',
  'slot',
  'other slots',
  'transactions',
  'role model',
  'default privileges',
  'applications',
  'captures',
  'parked events',
  'retention',
  'clocks',
] as const;

type CheckName = (typeof CHECKS)[number];

function ofDatabase(facts: DatabaseFindings, context: CheckContext, knowsSinks: boolean): [CheckName, CheckOutcome][] {
  const { server, slot, ownSlot, slots } = facts;
  const made: Readonly<Record<CheckName, CheckOutcome>> = {
    connection: judge(facts.serverProblems, (found) => judgeStart(found, context)),
    'server settings': together([
      judge(server, (known) => judgeSettings(known, context)),
      judge(both(slots, server), ([all, known]) =>
        judgeSlotPlaces(
          known,
          all.some(({ name }) => name === slot),
          context,
        ),
      ),
    ]),
    login: together([
      judge(both(facts.relayRights, server), ([rights, known]) => [
        ...judgeLogin(known, rights.relay, context),
        ...judgeRights(rights, known, context),
      ]),
    ]),
    connections: judge(server, (known) => judgeConnections(known, context)),
    schema: judge(facts.schemaProblems, (found) => judgeSchema(found, context)),
    start: together([
      judge(facts.startProblems, (found) => judgeStartOf(found, context)),
      judge(facts.neverRun, (neverRun) => judgeNeverRun(neverRun, slot, context)),
    ]),
    source: together([
      judge(facts.sourceProblems, (found) => judgeSource(found, context)),
      judge(ownSlot, (own) => judgeCompleteness(own, context)),
    ]),
    publication: judge(facts.publication, (extent) => judgePublication(extent, context)),
    slot: together([
      judge(both(ownSlot, server), ([own, known]) => judgeOwnSlot(own, known, context)),
      judge(both(slots, server), ([all, known]) => judgeFailover(slot, all, known)),
    ]),
    'other slots': judge(slots, (all) => judgeOtherSlots(all, slot, context)),
    transactions: transactionsOf(facts, context),
    'role model': judge(facts.deviations, judgeDeviations),
    'default privileges': judge(facts.defaultPrivileges, judgeDefaults),
    applications: together([judge(facts.insideLogins, judgeInsiders), judge(facts.ownerLogins, judgeOwnerLogins)]),
    captures: judge(facts.captures, judgeCaptures),
    'parked events': knowsSinks
      ? judge(facts.parked, (counts) => judgeParked(counts, context.config))
      : { findings: [], unknown: ['the sinks are not known'] },
    retention: knowsSinks
      ? judge(facts.topicRetentions, (topics) => judgeTopicRetentions(topics, context.config))
      : { findings: [], unknown: ['the sinks are not known'] },
    clocks: judge(facts.clock, (difference) => judgeClocks(difference, context)),
  };
  return CHECKS.map((check) => [check, made[check]]);
}

function transactionsOf({ transactions, server }: DatabaseFindings, context: CheckContext): CheckOutcome {
  if ('unknown' in transactions) return { findings: [], unknown: [transactions.unknown] };
  const seesAll = 'value' in server && server.value.seesAllActivity;
  return judgeTransactions(transactions.value, seesAll, context);
}
