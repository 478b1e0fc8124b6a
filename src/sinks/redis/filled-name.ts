/** Names of streams and queues that are filled from the event. */
import { hash } from 'node:crypto';
import type { Event } from '../../event.ts';
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
  /** Makes the value of a field fit for the name. */
  readonly safe?: (value: string) => string;
}

/** `{entity_hash:8}` is a number from 0 to 7, the same for all events of an entity. */
export function compileName(text: string, options: NameOptions): (event: Event) => FilledName {
  const { where, what, maxBytes, safe = (value) => value } = options;
  // Splitting by a group puts literals at the even places and what stands in braces at the odd ones.
  const parts = text.split(/\{([^{}]*)\}/).map((part, place) => ({
    part,
    isField: place % 2 === 1,
    fill: place % 2 === 0 ? () => part : filler(part, where),
  }));
  return (event) => {
    let name = '';
    for (const { part, isField, fill } of parts) {
      const value = fill(event);
      if (isField && value === '') return { name: '', problem: `the ${what} needs ${part}, and the event has none` };
      name += isField ? safe(value) : value;
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
