/** What `walpost verify` was asked for. */
import type { Config } from '../config/schema.ts';
import { parseDuration } from '../config/units.ts';
import type { WalpostError } from '../errors.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { CANARY_TYPE } from '../reserved.ts';
import { RouteTable } from '../router/route-table.ts';
import { rateOf, usage } from './flag-values.ts';

export interface VerifyFlags {
  readonly count: string;
  readonly rate: string;
  readonly timeout: string;
  readonly sink?: string;
  readonly organization?: string;
  readonly json?: boolean;
}

export interface VerifyRequest {
  readonly count: number;
  /** Canaries a second. */
  readonly rate: number;
  readonly timeoutMs: number;
  readonly organization: string;
  /** null: only the relay is asked what has arrived. */
  readonly sink: string | null;
}

const MOST = 10_000;
const LONGEST_MS = 3_600_000;
/** Of no tenant. */
const NOBODY = '00000000-0000-0000-0000-000000000000';
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** Throws USAGE for what cannot be meant, and for a sink that canaries would not reach or whose deliveries leave no trace. */
export function verifyRequest(config: Config, flags: VerifyFlags): VerifyRequest {
  if (config.source.table !== OWN_TABLE) {
    throw usage(`It writes to ${OWN_TABLE}, and source.table is ${config.source.table}: there are no canaries for it.`);
  }
  const count = /^\d+$/.test(flags.count) ? Number(flags.count) : 0;
  if (count < 1 || count > MOST) throw usage(`--count takes a whole number from 1 to ${MOST}, not "${flags.count}".`);
  const timeoutMs = parseDuration(flags.timeout);
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > LONGEST_MS) {
    throw usage(`--timeout takes a duration up to 1h, such as 30s, not "${flags.timeout}".`);
  }
  const { organization = NOBODY, sink = null } = flags;
  if (!UUID.test(organization)) throw usage(`--organization takes a UUID, not "${organization}".`);
  if (sink !== null) refuseSilentSink(config, sink, organization);
  return { count, rate: rateOf(flags.rate), timeoutMs, organization, sink };
}

function refuseSilentSink({ sinks, routes, delivery }: Config, sink: string, organizationId: string): void {
  const names = Object.keys(sinks);
  if (!names.includes(sink)) throw usage(`--sink names no sink: there is ${names.join(', ')}, not "${sink}".`);
  const canary = { topic: CANARY_TYPE, eventType: CANARY_TYPE, target: null, entityType: null, organizationId };
  const reached = new RouteTable(routes, names).match(canary).map((index) => names[index]);
  if (!reached.includes(sink)) throw unrouted(sink);
  if (delivery.log === 'off')
    throw usage('delivery.log is off, so deliveries leave no trace. Set it to failures or all.');
  if (sinks[sink]?.log === false)
    throw usage(`sinks.${sink}.log is false, so its deliveries leave no trace. Remove the option, and restart.`);
}

function unrouted(sink: string): WalpostError {
  const route = `- { match: { event_type: ${CANARY_TYPE} }, to: [${sink}] }`;
  return usage(
    `No route brings canaries to ${sink}: wildcards do not match their type, so that no receiver gets them by accident.`,
    `Add to routes: ${route}, and restart. Without --sink they go as far as the relay.`,
  );
}
