/**
 * The script that appends a batch to its streams. It stops at the first entry that the server refuses, which a pipeline
 * does not (docs/decisions/0035-a-batch-for-redis-stops-at-its-first-error.md).
 *
 * The entries are one argument, bytes that the script takes apart: the client and the server would spend more time on five
 * arguments an entry than on all the rest. An entry is the number of its key in KEYS, its id, its type and its envelope,
 * each text behind its length.
 */
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { textToWire, wireString } from '../../wire-text.ts';
import type { RedisClient } from './redis-link.ts';

const SCRIPT = `
local entries, at, added = ARGV[3], 1, 0
while at <= #entries do
  local key, id, event, envelope, reply
  key, id, event, envelope, at = struct.unpack('<I4I4c0I4c0I4c0', entries, at)
  if ARGV[1] == '' then
    reply = redis.pcall('XADD', KEYS[key], '*', 'event_id', id, 'event_type', event, 'organization_id', ARGV[2], 'envelope', envelope)
  else
    reply = redis.pcall('XADD', KEYS[key], 'MAXLEN', '~', ARGV[1], '*', 'event_id', id, 'event_type', event, 'organization_id', ARGV[2], 'envelope', envelope)
  end
  if type(reply) == 'table' and reply.err then return { added, reply.err } end
  added = added + 1
end
return { added }`;

const COMMAND = 'walpostAddEntries';

interface WithScript {
  [COMMAND](keys: number, ...words: readonly (string | Buffer)[]): Promise<[added: number, error?: string]>;
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

/**
 * @param entries of one organization
 * @param maxLength to which streams are trimmed
 */
export async function addEntries(
  client: RedisClient,
  entries: readonly Entry[],
  maxLength: number | undefined,
): Promise<Added> {
  const keys = new Map<string, number>();
  let text = '';
  for (const { event, key } of entries) {
    const place = keys.get(key) ?? keys.size + 1;
    keys.set(key, place);
    text += number(place) + counted(wireString(textToWire(event.eventId)));
    text += counted(wireString(textToWire(event.eventType))) + counted(wireString(envelopeOf(event)));
  }
  const words = [maxLength === undefined ? '' : String(maxLength), entries[0]?.event.organizationId ?? ''];
  const script = client as unknown as WithScript;
  const [added, error] = await script[COMMAND](keys.size, ...keys.keys(), ...words, Buffer.from(text, 'latin1'));
  return { added, error };
}

function counted(latin1: string): string {
  return number(latin1.length) + latin1;
}

/** Four bytes, the lowest first. */
function number(value: number): string {
  return String.fromCharCode(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24);
}
