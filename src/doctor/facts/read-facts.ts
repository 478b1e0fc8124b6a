/**
 * Everything that the checks are made from, read in one place, over one connection, one question after the other. Nothing is
 * written. A question that cannot be answered leaves its fact unknown, and the others are asked all the same.
 */
import type pg from 'pg';
import type { Clock } from '../../clock.ts';
import { hasEndpoints } from '../../config/endpoint-sinks.ts';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import { countParked, type ParkedSinkCount } from '../../parking/parked-sinks.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { OWN_TABLE } from '../../postgres/own-table.ts';
import { createPool } from '../../postgres/pool.ts';
import { askCaptureProblems, type CaptureProblem } from '../../postgres/schema/captures.ts';
import { assertMigrated } from '../../postgres/schema/migrate.ts';
import { findOwnerLogins, type UnboundLogin } from '../../postgres/schema/unbound-logins.ts';
import { readRelayRights, type RelayRights } from '../../postgres/schema/relay-rights.ts';
import { readDeviations, type RoleDeviation } from '../../postgres/schema/role-model.ts';
import { refuseForeignCode } from '../../postgres/schema/schema-guard.ts';
import { columnMapping, requiredColumns } from '../../postgres/source/column-mapping.ts';
import { refuseColumnTypes } from '../../postgres/source/column-types.ts';
import { checkEndpointPublication } from '../../postgres/source/endpoint-changes.ts';
import { checkSource } from '../../postgres/source/source-checks.ts';
import { stateOf } from '../../postgres/storable.ts';
import { refusalError } from '../../relay/starts/refusals.ts';
import { lookAtStart, slotOf, usualSlot } from '../../relay/starts/start-facts.ts';
import { serverProblems } from '../../slot/server-checks.ts';
import { type Fact, factOf } from '../fact.ts';
import { type ClockDifference, readClockDifference } from './clock-difference.ts';
import { type PublicationExtent, readPublicationExtent } from './publication.ts';
import { type DefaultPrivilege, type InsideLogin, readDefaultPrivileges, readInsideLogins } from './rights.ts';
import { readServerState, type ServerState } from './server-state.ts';
import { readTopicRetentions, type TopicRetention } from './topic-retention.ts';
import {
  type OpenTransaction,
  type OwnSlot,
  readOwnSlot,
  readSlots,
  readTransactions,
  type SlotEntry,
} from './slots.ts';

export interface DatabaseFindings {
  readonly slot: string;
  readonly server: Fact<ServerState>;
  /** What the checks of a start say; empty when all is well. */
  readonly serverProblems: Fact<readonly unknown[]>;
  readonly schemaProblems: Fact<readonly unknown[]>;
  readonly startProblems: Fact<readonly unknown[]>;
  readonly sourceProblems: Fact<readonly unknown[]>;
  /** There was never a relay of this source. */
  readonly neverRun: Fact<boolean>;
  readonly relayRights: Fact<RelayRights>;
  readonly publication: Fact<PublicationExtent | undefined>;
  readonly ownSlot: Fact<OwnSlot>;
  readonly slots: Fact<readonly SlotEntry[]>;
  readonly transactions: Fact<readonly OpenTransaction[]>;
  readonly deviations: Fact<readonly RoleDeviation[]>;
  readonly defaultPrivileges: Fact<readonly DefaultPrivilege[]>;
  readonly insideLogins: Fact<readonly InsideLogin[]>;
  readonly ownerLogins: Fact<readonly UnboundLogin[]>;
  readonly captures: Fact<readonly CaptureProblem[]>;
  readonly parked: Fact<readonly ParkedSinkCount[]>;
  readonly topicRetentions: Fact<readonly TopicRetention[]>;
  readonly clock: Fact<ClockDifference>;
}

/** The facts, or why nobody can connect. */
export type DatabaseLook = { readonly facts: DatabaseFindings } | { readonly unreachable: unknown };

const QUERY_TIMEOUT_MS = 65_000;
const NOT_INSTALLED = 'the schema walpost is not there';

export async function readFacts(config: Config, clock: Clock): Promise<DatabaseLook> {
  const { url } = config.database;
  try {
    const pool = createPool(url, { applicationName: 'walpost doctor', max: 1, queryTimeoutMs: QUERY_TIMEOUT_MS });
    try {
      await pool.query('SELECT');
      return { facts: await readAll(pool, config, clock) };
    } finally {
      await pool.end();
    }
  } catch (error) {
    return { unreachable: databaseError(error) };
  }
}

async function readAll(pool: pg.Pool, config: Config, clock: Clock): Promise<DatabaseFindings> {
  const { source } = config;
  const server = await factOf(() => readServerState(pool));
  const isInstalled = 'value' in server && server.value.installed;
  const installed = async <T>(read: () => Promise<T>): Promise<Fact<T>> =>
    isInstalled ? factOf(read) : { unknown: NOT_INSTALLED };
  const named = await installed(() => slotOf(pool, source));
  const usual = usualSlot('value' in server ? server.value.database : '');
  const slot = 'value' in named ? named.value : (source.slot ?? usual);
  const start = await installed(() => lookAtStart(pool, source));
  const isSourceThere = isInstalled || source.table !== OWN_TABLE;
  return {
    slot,
    server,
    serverProblems: await factOf(() => serverProblems({ url: config.database.url, slot })),
    schemaProblems: await problemsOf(() => checkSchema(pool, 'value' in server && server.value.ownsSchema)),
    startProblems: whereKnown(start, ({ decision, facts }) =>
      'refusal' in decision ? [refusalError(decision.refusal, facts, source)] : [],
    ),
    sourceProblems: isSourceThere ? await problemsOf(() => checkTable(pool, slot, config)) : { unknown: NOT_INSTALLED },
    neverRun: whereKnown(start, ({ decision }) => 'start' in decision && decision.start.kind === 'first'),
    relayRights: await installed(() => readRelayRights(pool)),
    publication: await factOf(() => readPublicationExtent(pool, source)),
    ownSlot: await installed(() => readOwnSlot(pool, slot, source)),
    slots: await factOf(() => readSlots(pool)),
    transactions: await factOf(() => readTransactions(pool)),
    deviations: await installed(() => readDeviations(pool)),
    defaultPrivileges: await installed(() => readDefaultPrivileges(pool)),
    insideLogins: await installed(() => readInsideLogins(pool)),
    ownerLogins: await installed(() => findOwnerLogins(pool)),
    captures: await installed(() => askCaptureProblems(pool)),
    parked: await installed(() => countParked(pool, slot)),
    topicRetentions: await installed(() => readTopicRetentions(pool)),
    clock: await factOf(() => readClockDifference(pool, clock)),
  };
}

/** Whether code of others hangs on it matters to the owner, who migrates. */
async function checkSchema(pool: pg.Pool, isOwner: boolean): Promise<void> {
  await assertMigrated(pool);
  if (!isOwner) return;
  const client = await pool.connect();
  try {
    await refuseForeignCode(client);
  } finally {
    client.release();
  }
}

async function checkTable(pool: pg.Pool, slot: string, { source, sinks }: Config): Promise<void> {
  const { publication, table, plugin, row_filter: rowFilter } = source;
  const mapping = columnMapping(source);
  const columns = requiredColumns(source);
  const tableId = await checkSource({ db: pool, publication, table, columns, plugin, slot, rowFilter });
  await refuseColumnTypes({ db: pool, table, tableId, mapping, plugin });
  if (hasEndpoints(sinks)) await checkEndpointPublication(pool, publication);
}

/** What a check refuses is known; that the server refused the question, or did not answer, is not. */
async function problemsOf(check: () => Promise<unknown>): Promise<Fact<readonly unknown[]>> {
  return factOf(async () => {
    try {
      await check();
      return [];
    } catch (error) {
      const isRefusal = error instanceof WalpostError && error.policy !== 'retry' && stateOf(error) === undefined;
      if (!isRefusal) throw error;
      return [error];
    }
  });
}

function whereKnown<T, U>(fact: Fact<T>, take: (value: T) => U): Fact<U> {
  return 'unknown' in fact ? fact : { value: take(fact.value) };
}
