/** `walpost send`: publishes one event as an application would, and says where it goes. */
import type { Config } from '../config/schema.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { sqlStateOf } from '../postgres/sqlstate.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { RouteTable } from '../router/route-table.ts';
import { usage as badFlag } from './flag-values.ts';
import { openJobDatabase } from './job-database.ts';
import { say, sayJson } from './output.ts';

export interface SendFlags {
  readonly organization: string;
  readonly topic?: string;
  readonly target?: string;
  readonly entityType?: string;
  readonly entityId?: string;
  readonly idempotencyKey?: string;
  readonly json?: boolean;
}

export interface SendRequest {
  readonly eventType: string;
  readonly payload: string;
  readonly flags: SendFlags;
}

/** Publishers see only their own organization: the setting is what an application sets too. */
const AS_ORGANIZATION = "SELECT set_config('app.current_org_id', $1, true)";
const PUBLISH = `
  SELECT walpost.publish(organization_id => $1::uuid, event_type => $2, payload => $3::jsonb, topic => $4, entity_type => $5,
                         entity_id => $6, target => $7, idempotency_key => $8)::text AS id`;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
/** What the caller gave is not acceptable: invalid data, a broken constraint, a limit of the payload. */
const REFUSED = /^(22|23|54)/;

export async function send(config: Config, { eventType, payload, flags }: SendRequest): Promise<void> {
  if (config.source.table !== OWN_TABLE) {
    throw usage(`It publishes to ${OWN_TABLE}, and source.table is ${config.source.table}: insert a row there.`);
  }
  const json = payload === '-' ? await standardInput() : payload;
  refuseOther(json);
  const { organization, topic, entityType, entityId, target, idempotencyKey } = flags;
  if (!UUID.test(organization)) throw usage(`--organization takes a UUID, not "${organization}".`);
  await using database = await openJobDatabase(config);
  const optional = [topic, entityType, entityId, target, idempotencyKey].map((value) => value ?? null);
  const id = await inTransaction(database.pool, async (client) => {
    await client.query(AS_ORGANIZATION, [organization]);
    const { rows } = await client.query<{ id: string }>(PUBLISH, [organization, eventType, json, ...optional]);
    return rows[0]?.id ?? '';
  }).catch((error: unknown) => {
    throw refusal(error);
  });
  const to = sinksFor(config, eventType, flags);
  if (flags.json) return sayJson({ event_id: id, sinks: to });
  say(`Published ${eventType} as ${id}.`);
  say(to.length === 0 ? unroutedText(config) : `The routes name ${to.join(', ')} for it; \`walpost run\` delivers it.`);
}

function sinksFor({ routes, sinks }: Config, eventType: string, flags: SendFlags): string[] {
  const names = Object.keys(sinks);
  const { topic = 'default', target = null, entityType = null, organization: organizationId } = flags;
  const table = new RouteTable(routes, names);
  const indexes = table.match({ topic, eventType, target, entityType, organizationId });
  return indexes.flatMap((index) => names[index] ?? []);
}

function unroutedText({ delivery }: Config): string {
  const what = delivery.unrouted === 'drop' ? 'is dropped' : 'becomes a dead letter';
  return `No route matches it, so it ${what}.`;
}

function refuseOther(json: string): void {
  try {
    JSON.parse(json);
  } catch {
    throw usage(`The payload is not JSON. Write it in single quotes: '{"job_id": 42}'.`);
  }
}

async function standardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** The server's own words: they are about what was typed here. */
function refusal(error: unknown): Error {
  if (!REFUSED.test(sqlStateOf(error) ?? '')) return databaseError(error, 'publishing');
  const hint = error instanceof Error && 'hint' in error && typeof error.hint === 'string' ? error.hint : undefined;
  return new WalpostError('USAGE', {
    detail: `The database refused the event: ${messageOf(error).replace(/([^.])$/, '$1.')}`,
    remedy: hint ?? 'See `walpost send --help`.',
    cause: error,
  });
}

function usage(detail: string): WalpostError {
  return badFlag(detail, 'See `walpost send --help`.');
}
