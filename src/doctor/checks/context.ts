/** What every check is given besides the facts: the configuration, the provider, and from where on something counts. */
import { connectionParts } from '../../connection-string.ts';
import type { Config } from '../../config/schema.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import type { DoctorFinding } from '../finding.ts';
import { findingOf } from '../finding.ts';
import type { DatabaseFindings } from '../facts/read-facts.ts';
import type { DoctorLimits } from '../limits.ts';
import { type Provider, providerOf, providerRemedy } from '../provider.ts';

export interface CheckContext {
  readonly config: Config;
  readonly limits: DoctorLimits;
  readonly provider: Provider | undefined;
  /** As database.url, or PGHOST, names it. */
  readonly host: string | undefined;
  /** The quoted role, for statements. */
  readonly role: string;
}

export function contextOf(config: Config, limits: DoctorLimits, facts?: DatabaseFindings): CheckContext {
  const { host = process.env['PGHOST'], user = process.env['PGUSER'] } = connectionParts(config.database.url);
  const server = facts && 'value' in facts.server ? facts.server.value : undefined;
  return {
    config,
    limits,
    provider: providerOf(server?.marks ?? [], host),
    host,
    role: quoteIdentifier(server?.role ?? user ?? 'postgres'),
  };
}

/** An error of the relay's own checks, with the remedy of the provider where it has another one. */
export function startFinding(error: unknown, subject: string, context: CheckContext): DoctorFinding {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return findingOf(error, subject, providerRemedy(context.provider, code, context));
}

/** The server as a subject. */
export function placeOf(host: string | undefined): string {
  return host === undefined ? 'the server' : `server ${host}`;
}
