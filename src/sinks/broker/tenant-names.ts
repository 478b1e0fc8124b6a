/**
 * Names that say the organization and something else, such as `events:{organization_id}:{event_type}`.
 *
 * A value that holds the text between two fields would move the border between them, and the name could be that of an event of
 * another organization. So in such a template the character that ends a field is percent-encoded in the field's value. The
 * last field ends with the name, and stays as it is. Templates without the organization, and with nothing else, change no value.
 */
import { WalpostError } from '../../errors.ts';
import type { Event } from '../../event.ts';
import { compileTemplate, TEMPLATE_FIELDS, type TemplateField } from '../event-template.ts';

const TENANT = 'organization_id';
/** A field in braces; splitting by it puts literals at the even places and fields at the odd ones. */
const FIELD = /\{([^{}]*)\}/;
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;
/** What a UUID has before its first hyphen. */
const LIKE_A_UUID = /^[\da-f]{8}$/i;

export interface TenantNameOptions {
  /** The option, in errors. */
  readonly where: string;
  /** Characters, as the inside of a class, that the destination does not take; percent-encoded in the organization. */
  readonly unsafe?: string;
}

type Write = (value: string) => string;

/** How the value of each field is written, in the order of the fields. Throws CONFIG_INVALID where nothing keeps two apart. */
export function valueWriters(template: string, { where, unsafe = '' }: TenantNameOptions): readonly Write[] {
  const parts = template.split(FIELD);
  const fields = parts.filter((_, place) => place % 2 === 1);
  const hasBorders = fields.includes(TENANT) && fields.length > 1;
  return fields.map((field, n) => {
    const end = hasBorders && n < fields.length - 1 ? endOf(parts[2 * n + 2] ?? '', where) : '';
    return writer(end, field === TENANT ? unsafe : '');
  });
}

/** As compileTemplate, with all fields where none are named. */
export function compileTenantName(
  text: string,
  where: string,
  fields: readonly TemplateField[] = TEMPLATE_FIELDS,
): (event: Event) => string {
  const writers = valueWriters(text, { where });
  if (writers.every((write) => write === asItIs)) return compileTemplate(text, where, fields);
  const parts = text.split(FIELD).map((part, place) => {
    if (place % 2 === 0) return () => part;
    const value = compileTemplate(`{${part}}`, where, fields);
    const write = writers[(place - 1) / 2] ?? asItIs;
    return (event: Event) => write(value(event));
  });
  return (event) => parts.reduce((name, part) => name + part(event), '');
}

function endOf(literal: string, where: string): string {
  const [end = ''] = literal;
  if (end !== '' && !/[\p{L}\p{N}%]/u.test(end)) return end;
  throw new WalpostError('CONFIG_INVALID', {
    detail: `${where} names the organization and other fields. The text behind each of them, up to the last, must begin with a character such as : or . that is no letter, digit or percent sign.`,
  });
}

const asItIs: Write = (value) => value;

function writer(end: string, unsafe: string): Write {
  if (end === '' && unsafe === '') return asItIs;
  const encoded = new RegExp(`[%${end.replace(/[\\\]^-]/, '\\$&')}${unsafe}]`, 'gu');
  return (value) => {
    if (end !== '-') return value.replace(encoded, percent);
    if (UUID.test(value)) return value;
    const written = value.replace(encoded, percent);
    return LIKE_A_UUID.test(written) ? percent(written.slice(0, 1)) + written.slice(1) : written;
  };
}

/** Also of what encodeURIComponent leaves, such as a hyphen. */
export function percent(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}
