/**
 * The subject of a message, from a template such as `walpost.{organization_id}.{topic}.{event_type}`.
 *
 * A field fills one token: blanks, control characters, `*`, `>` and dots in its value become `_`, so that every token stays in
 * its place. Only the last token may become several: `{event_type}` there keeps the dots of `job.completed`. In the organization
 * they are percent-encoded, so that two organizations never share a subject.
 */
import type { Event } from '../../event.ts';
import { valueWriters } from '../broker/tenant-names.ts';
import { compileTemplate, TEMPLATE_FIELDS } from '../event-template.ts';

const PARTITION = /^partition:(\d+)$/;
const UNSAFE = '\\s*>\\p{Cc}';
const KEEPS_DOTS = new RegExp(`[${UNSAFE}]`, 'gu');
const DOTS_TOO = new RegExp(`[${UNSAFE}.]`, 'gu');
/** The server reads a subject with its sizes in one line of 4,096 bytes, and clients set more tokens before it. */
export const LONGEST_SUBJECT = 1024;

export interface SubjectOptions {
  readonly template: string;
  /** Names the option in errors. */
  readonly where: string;
  readonly partitionBy: 'organization' | 'entity';
}

/** `problem` is the rule that the event breaks, without its values. */
export type Subject = { readonly subject: string } | { readonly problem: string };

export function compileSubject({ template, where, partitionBy }: SubjectOptions): (event: Event) => Subject {
  const writers = valueWriters(template, { where, unsafe: `${UNSAFE}.` })[Symbol.iterator]();
  const tokens = template.split('.').map((token, place, all) => {
    const unsafe = place === all.length - 1 && /^\{[a-z_]+\}$/.test(token) ? KEEPS_DOTS : DOTS_TOO;
    const pieces = token.split(/\{([^{}]*)\}/).map((piece, n) => {
      if (n % 2 === 0) return () => piece;
      const value = field(piece);
      const write = writers.next().value ?? String;
      if (piece === 'organization_id') return (event: Event) => write(value(event));
      return (event: Event) => write(value(event).replace(unsafe, '_'));
    });
    return (event: Event): string => pieces.map((piece) => piece(event)).join('');
  });
  function field(name: string): (event: Event) => string {
    const partitions = Number(PARTITION.exec(name)?.[1] ?? 0);
    if (partitions > 0) return (event) => String(partitionOf(keyOf(event, partitionBy), partitions));
    return compileTemplate(`{${name}}`, where, TEMPLATE_FIELDS);
  }
  return (event) => checked(tokens.map((token) => token(event)).join('.'));
}

function checked(subject: string): Subject {
  if (subject.split('.').includes('')) return { problem: 'its subject would have an empty token' };
  if (Buffer.byteLength(subject) > LONGEST_SUBJECT) {
    return { problem: `its subject would be longer than ${LONGEST_SUBJECT} bytes` };
  }
  if (/^(?:\$|_INBOX\b)/.test(subject))
    return { problem: "its subject would begin with $ or _INBOX, which are the server's" };
  return { subject };
}

function keyOf(event: Event, by: SubjectOptions['partitionBy']): string {
  const { organizationId, entityType, entityId } = event;
  return by === 'organization' || entityId === null
    ? organizationId
    : `${organizationId}${entityType ?? ''}${entityId}`;
}

/** FNV-1a over the bytes, as `partition()` of the server's subject mapping: the same key has the same partition there. */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % partitions;
}
