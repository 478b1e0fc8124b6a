/** `walpost endpoints`: what operators see and do of the webhooks of customers. */
import type { Config } from '../config/schema.ts';
import type { ConfigFlags } from './config-options.ts';
import { confirm } from './confirm.ts';
import { callEndpoint, unknownEndpoint } from './endpoint-calls.ts';
import {
  countEndpoints,
  ENDPOINT_STATES,
  type EndpointDetails,
  type EndpointRow,
  listEndpoints,
  readEndpoint,
  readEndpointChanges,
} from './endpoint-rows.ts';
import { usage } from './flag-values.ts';
import { inspectSlot } from '../slot/slot-state.ts';
import { type JobDatabase, openJobDatabase } from './job-database.ts';
import { hint, say, sayJson } from './output.ts';
import { limitOf } from './parked.ts';
import type { ChangeFlags } from './stored-filter.ts';
import { cut, recordText, textTable } from './text-table.ts';

export interface EndpointFlags extends ConfigFlags {
  readonly json?: boolean;
}
export interface EndpointListFlags extends EndpointFlags {
  readonly organization?: string;
  readonly sink?: string;
  readonly state?: string;
  readonly failing?: boolean;
  readonly limit?: string;
}
export interface ReasonFlags extends EndpointFlags, ChangeFlags {
  readonly reason?: string;
}
export interface AdoptFlags extends EndpointFlags {
  readonly yes?: boolean;
}

const HEAD = ['endpoint', 'sink', 'organization', 'host', 'state', 'since (UTC)', 'parked', 'why'];
const CHANGES_SHOWN = 10;

export async function listAll(config: Config, flags: EndpointListFlags): Promise<void> {
  const limit = limitOf(flags.limit);
  const { state, sink, json } = flags;
  if (state !== undefined && !ENDPOINT_STATES.some((known) => known === state)) {
    throw usage(`--state takes one of ${ENDPOINT_STATES.join(', ')}, not "${state}".`);
  }
  await using database = await openJobDatabase(config);
  const filter = { ...flags, organization: flags.organization?.toLowerCase() };
  const rows = await listEndpoints(database.pool, filter, limit);
  if (rows.length === 0 && sink !== undefined && !Object.hasOwn(config.sinks, sink)) {
    throw usage(`--sink names no sink: there is ${Object.keys(config.sinks).join(', ')}, not "${sink}".`);
  }
  if (json) return sayJson(rows);
  if (rows.length === 0) return say(isFiltered(flags) ? 'There is no such endpoint.' : 'There are no endpoints.');
  process.stdout.write(textTable(HEAD, rows.map(cells)));
  const more = rows.length === limit ? (await countEndpoints(database.pool, filter)) - limit : 0;
  if (more > 0) say(`and ${more} more; --limit says how many are shown.`);
  hint('`walpost endpoints show ID` says all about one.');
}

export async function show(config: Config, id: string, { json }: EndpointFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const endpoint = await existing(database, id);
  const changes = await readEndpointChanges(database.pool, endpoint.endpoint_id, CHANGES_SHOWN);
  if (json) return sayJson({ ...endpoint, changes });
  process.stdout.write(recordText(fieldsOf(endpoint)));
  if (!Object.hasOwn(config.sinks, endpoint.sink))
    say(`The configuration has no sink ${endpoint.sink}: nothing is sent.`);
  const rows = changes.map(({ changed_at: at, change, state, host }) => [moment(at), change, state, host]);
  process.stdout.write(`\n${textTable(['changed at (UTC)', 'change', 'state then', 'host'], rows)}`);
  if (endpoint.missed_since !== null)
    hint(`\`walpost endpoints recover ${endpoint.endpoint_id}\` sends what it missed.`);
}

export async function test(config: Config, id: string, { json }: EndpointFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const event = await callEndpoint<string>(database.pool, 'test', [uuidOf(id)]);
  if (json) return sayJson({ endpoint_id: id, event_id: event });
  say(`Sent event ${event}.`);
  await noteWithoutRelay(database);
  hint(`\`walpost events show ${event}\` says what became of it.`);
}

export async function pause(config: Config, id: string, { json, reason }: ReasonFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const changed = await callEndpoint<boolean>(database.pool, 'pause', [uuidOf(id), reason ?? null]);
  await told(database, id, {
    json,
    changed,
    done: 'is paused: its events are parked, in order.',
    before: 'was paused already.',
  });
}

export async function enable(config: Config, id: string, { json }: EndpointFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const changed = await callEndpoint<boolean>(database.pool, 'enable', [uuidOf(id)]);
  await told(database, id, { json, changed, done: 'is enabled.', before: 'was enabled already.' });
  const { missed_since: missed } = await existing(database, id);
  if (!json && missed !== null) say(`It misses what was committed since ${moment(missed)} UTC until now: see recover.`);
}

export async function disable(config: Config, id: string, flags: ReasonFlags): Promise<void> {
  const { json, reason, dryRun } = flags;
  await using database = await openJobDatabase(config);
  const endpoint = await existing(database, id);
  const { endpoint_id, state, parked: count, parked_more } = endpoint;
  const parked = `${parkedText(endpoint)} parked event${count === 1 ? '' : 's'}`;
  if (dryRun && json) return sayJson({ dry_run: true, endpoint_id, state, parked: count, parked_more });
  if (dryRun && state === 'disabled') return say('It is disabled already: nothing would be done.');
  if (dryRun) return say(`It is ${state}; ${parked} would be discarded.`);
  if (!(await confirm(`Disable ${id} at ${endpoint.host}, and discard ${parked}?`, flags))) return;
  const changed = await callEndpoint<boolean>(database.pool, 'disable', [endpoint_id, reason ?? null]);
  await told(database, id, { json, changed, done: 'is disabled.', before: 'was disabled already.' });
}

export async function adopt(config: Config, flags: AdoptFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const count = await countEndpoints(database.pool, {});
  const endpoints = `${count} endpoint${count === 1 ? '' : 's'}`;
  const question = `Let ${endpoints} of customers get events from this database?`;
  if (!(await confirm(question, flags, 'Add --yes.'))) return;
  const changed = (await callEndpoint<boolean>(database.pool, 'adopt', [])) === true;
  if (flags.json) return sayJson({ changed, endpoints: count });
  say(
    changed
      ? `${endpoints} ${count === 1 ? 'gets' : 'get'} events from here now.`
      : 'Nothing to do: the endpoints belong to this database.',
  );
}

/** Changes come in the stream. */
async function noteWithoutRelay({ pool, slot }: JobDatabase): Promise<void> {
  const state = await inspectSlot(pool, slot);
  if (state.kind === 'missing' || state.facts.holder === null) {
    say(`No relay streams from ${slot} now: it takes effect when one does.`);
  }
}

interface Told {
  readonly json: boolean | undefined;
  readonly changed: boolean | undefined;
  readonly done: string;
  readonly before: string;
}

async function told(database: JobDatabase, id: string, { json, changed = false, done, before }: Told): Promise<void> {
  if (json) return sayJson({ changed, ...(await existing(database, id)) });
  say(`Endpoint ${id} ${changed ? done : before}`);
  if (changed) await noteWithoutRelay(database);
}

async function existing({ pool }: JobDatabase, id: string): Promise<EndpointDetails> {
  const endpoint = await readEndpoint(pool, uuidOf(id));
  if (!endpoint) throw unknownEndpoint(id);
  return endpoint;
}

/** What is none would be a fault of the statement. */
function uuidOf(id: string): string {
  const small = id.toLowerCase();
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(small)) throw unknownEndpoint(id);
  return small;
}

const isFiltered = ({ state, sink, organization, failing }: EndpointListFlags): boolean =>
  Boolean(state ?? sink ?? organization ?? failing);

export const moment = (time: string): string => time.slice(0, 19).replace('T', ' ');

const parkedText = ({ parked, parked_more: more }: Pick<EndpointRow, 'parked' | 'parked_more'>): string =>
  more ? `more than ${parked}` : String(parked);

function whyOf({ state, state_reason: stateReason, failing_since: failing, reason, attempts }: EndpointRow): string {
  if (state !== 'enabled') return cut(stateReason ?? '');
  if (failing === null) return '';
  return `fails since ${moment(failing)}, ${attempts ?? 'some'} times: ${cut(reason ?? 'the reason is unknown')}`;
}

function cells(row: EndpointRow): string[] {
  const { endpoint_id: id, sink, organization_id: organization, host, state, state_changed_at: at } = row;
  return [id, sink, organization, host, state, moment(at), parkedText(row), whyOf(row)];
}

function fieldsOf(endpoint: EndpointDetails): [string, string][] {
  const time = (at: string | null): string => (at === null ? '' : `${moment(at)} UTC`);
  const { max_per_second: rate, next_try_at: next } = endpoint;
  return [
    ['endpoint', endpoint.endpoint_id],
    ['organization', endpoint.organization_id],
    ['sink', endpoint.sink],
    ['url', endpoint.url],
    ['description', endpoint.description ?? ''],
    ['event types', endpoint.event_types.join(', ')],
    ['headers', endpoint.header_names.join(', ')],
    ['at most', rate === null ? '' : `${rate} events a second`],
    ['state', `${endpoint.state} since ${time(endpoint.state_changed_at)}`],
    ['reason', endpoint.state_reason ?? ''],
    ['misses events since', time(endpoint.missed_since)],
    ['fails since', time(endpoint.failing_since)],
    ['tries', endpoint.attempts === null ? '' : String(endpoint.attempts)],
    ['last reason', endpoint.reason ?? ''],
    ['next try', time(next)],
    ['parked', parkedText(endpoint)],
    ['dead letters', String(endpoint.dead_letters)],
    ['added', time(endpoint.created_at)],
    ['changed', time(endpoint.updated_at)],
  ];
}
