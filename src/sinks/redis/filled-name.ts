/** Names of streams and queues that are filled from the event. */
import { hash } from 'node:crypto';
import type { Event } from '../../event.ts';
import { valueWriters } from '../broker/tenant-names.ts';
import { compileTemplate, TEMPLATE_FIELDS } from '../event-template.ts';

/** A problem is the rule that the event breaks, in words that hold nothing of it; the name is empty then. */
export interface FilledName {
  readonly name: string;
  readonly problem?: string;
}

export interface NameOptions {
  /** The option, in errors. */
  readonly where: string;
  readonly what: string;
  readonly maxBytes: number;
  /** Characters that the name must not have, as the inside of a class; `_` in their place, in the organization percent-encoded. */
  readonly unsafe?: string;
}

/** `{entity_hash:8}` is a number from 0 to 7, the same for all events of an entity. */
export function compileName(text: string, options: NameOptions): (event: Event) => FilledName {
  const { where, what, maxBytes, unsafe } = options;
  const writers = valueWriters(text, options);
  const replaced = unsafe === undefined ? undefined : new RegExp(`[${unsafe}]`, 'gu');
  const written = (part: string, place: number, value: string): string =>
    (writers[(place - 1) / 2] ?? String)(replaced && part !== 'organization_id' ? value.replace(replaced, '_') : value);
  // Splitting by a group puts literals at the even places and what stands in braces at the odd ones.
  const parts = text.split(/\{([^{}]*)\}/).map((part, place) => ({
    part,
    place,
    isField: place % 2 === 1,
    fill: place % 2 === 0 ? () => part : filler(part, where),
  }));
  return (event) => {
    let name = '';
    for (const { part, place, isField, fill } of parts) {
      const value = fill(event);
      if (isField && value === '') return { name: '', problem: `the ${what} needs ${part}, and the event has none` };
      name += isField ? written(part, place, value) : value;
    }
    if (Buffer.byteLength(name) <= maxBytes) return { name };
    return { name: '', problem: `the ${what} would be longer than ${maxBytes} bytes` };
  };
}

function filler(part: string, where: string): (event: Event) => string {
  const count = /^entity_hash:(\d+)$/.exec(part)?.[1];
  if (count === undefined) return compileTemplate(`{${part}}`, where, TEMPLATE_FIELDS);
  return (event) => String(entityHash(event, Number(count)));
}

/** An event without an entity counts as one of its organization. */
function entityHash({ organizationId, entityType, entityId }: Event, count: number): number {
  const entity = JSON.stringify(entityId === null ? [organizationId] : [organizationId, entityType, entityId]);
  return parseInt(hash('sha256', entity, 'hex').slice(0, 8), 16) % count;
}
