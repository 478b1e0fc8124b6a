/** The functions of endpoints, called for an operator. What they refuse is told in their own words. */
import type pg from 'pg';
import { WalpostError, messageOf } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { sqlStateOf } from '../postgres/sqlstate.ts';

/** Each with its arguments as $1 and so on. */
const CALLS = {
  pause: 'walpost.pause_endpoint($1::uuid, $2)',
  enable: 'walpost.enable_endpoint($1::uuid)',
  disable: 'walpost.disable_endpoint($1::uuid, $2)',
  test: 'walpost.send_test_event($1::uuid)::text',
  forgetMissed: 'walpost_internal.forget_missed($1::uuid)::text',
  adopt: 'walpost_internal.adopt_endpoints()',
} as const;

export type EndpointCall = keyof typeof CALLS;

/** What a function of ours raises about its arguments, or about the state of the endpoint. */
const REFUSALS = new Set(['22023', '55000']);
const GONE = 'P0002';

export async function callEndpoint<T>(
  pool: Pick<pg.ClientBase, 'query'>,
  call: EndpointCall,
  values: readonly (string | null)[],
): Promise<T | undefined> {
  try {
    const { rows } = await pool.query<{ result: T }>(`SELECT ${CALLS[call]} AS result`, [...values]);
    return rows[0]?.result;
  } catch (error) {
    const state = sqlStateOf(error) ?? '';
    if (state === GONE) throw unknownEndpoint(values[0] ?? '');
    if (!REFUSALS.has(state)) throw databaseError(error, 'changing an endpoint');
    const text = messageOf(error).replace(/^walpost\S*: /, '');
    const hint = error instanceof Error && 'hint' in error && typeof error.hint === 'string' ? error.hint : undefined;
    const detail = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
    throw new WalpostError('ENDPOINT_REFUSED', { detail, cause: error, ...(hint !== undefined && { remedy: hint }) });
  }
}

export function unknownEndpoint(id: string): WalpostError {
  return new WalpostError('ENDPOINT_UNKNOWN', { detail: `It is "${id}".` });
}
