import type { LaneName } from '../pipeline.ts';

/** Channel on which the leader hears that something in walpost.parked or walpost.dead_letters was changed from outside. */
export const WAKE_CHANNEL = 'walpost_wake';

/** Without `retry` only the lanes that wait for a person are looked at. */
export interface WakeMessage extends Partial<LaneName> {
  readonly slot: string;
  readonly retry: boolean;
}

/** SQL that sends the message: slot ($1), sink and organization as SQL expressions. */
export const wakeSql = (sink: string, organization: string): string =>
  `pg_notify('${WAKE_CHANNEL}', json_strip_nulls(json_build_object(
     'slot', $1::text, 'retry', true, 'sink', ${sink}, 'organization', ${organization}))::text)`;

/** Undefined when it is none of ours. */
export function parseWakeMessage(payload: string): WakeMessage | undefined {
  let content: unknown;
  try {
    content = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (typeof content !== 'object' || content === null) return undefined;
  const { slot, retry, sink, organization } = content as Record<string, unknown>;
  if (typeof slot !== 'string') return undefined;
  return {
    slot,
    retry: retry === true,
    ...(typeof sink === 'string' && { sink }),
    ...(typeof organization === 'string' && { organizationId: organization }),
  };
}
