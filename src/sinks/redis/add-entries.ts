/**
 * The script that appends a batch to its streams. It stops at the first entry that the server refuses, which a pipeline
 * does not (docs/decisions/0035-a-batch-for-redis-stops-at-its-first-error.md).
 */
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { wireToText } from '../../wire-text.ts';
import type { RedisClient } from './redis-link.ts';

const SCRIPT = `
local added = 0
for at = 2, #ARGV, 5 do
  local key = KEYS[tonumber(ARGV[at])]
  local reply
  if ARGV[1] == '' then
    reply = redis.pcall('XADD', key, '*', 'event_id', ARGV[at + 1], 'event_type', ARGV[at + 2], 'organization_id', ARGV[at + 3], 'envelope', ARGV[at + 4])
  else
    reply = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[1], '*', 'event_id', ARGV[at + 1], 'event_type', ARGV[at + 2], 'organization_id', ARGV[at + 3], 'envelope', ARGV[at + 4])
  end
  if type(reply) == 'table' and reply.err then return { added, reply.err } end
  added = added + 1
end
return { added }`;

const COMMAND = 'walpostAddEntries';

interface WithScript {
  [COMMAND](keys: number, ...words: readonly string[]): Promise<[added: number, error?: string]>;
}

export function defineAddEntries(client: RedisClient): void {
  client.defineCommand(COMMAND, { lua: SCRIPT });
}

export interface Entry {
  readonly event: Event;
  readonly key: string;
}

export interface Added {
  /** The first entries of the batch that are in their streams. */
  readonly added: number;
  /** Why the next one is not, in the words of the server. */
  readonly error: string | undefined;
}

/** @param maxLength to which streams are trimmed */
export async function addEntries(
  client: RedisClient,
  entries: readonly Entry[],
  maxLength: number | undefined,
): Promise<Added> {
  const keys = new Map<string, string>();
  const words = [maxLength === undefined ? '' : String(maxLength)];
  for (const { event, key } of entries) {
    const place = keys.get(key) ?? String(keys.size + 1);
    keys.set(key, place);
    words.push(place, event.eventId, event.eventType, event.organizationId, wireToText(envelopeOf(event)));
  }
  const [added, error] = await (client as unknown as WithScript)[COMMAND](keys.size, ...keys.keys(), ...words);
  return { added, error };
}
