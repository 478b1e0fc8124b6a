/** What a mail takes from the payload by path. Text of an event never becomes a header of its own. */
import { TemplateFailure } from '../../template/template-failure.ts';

/** An address, bare or behind a name; a control character is in neither. */
const ADDRESS = /^(?:([^<>@\p{Cc}]*)<)?([^\s<>@,;:"()[\]\\\p{Cc}]+@[^\s<>@,;:"()[\]\\\p{Cc}]+?)>?$/u;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const MOST_ADDRESSES = 50;

export interface MailAddress {
  readonly name: string;
  readonly address: string;
}

export interface MailAttachment {
  readonly filename: string;
  /** Base64. */
  readonly content: string;
  readonly contentType: string | undefined;
}

/** The value at `payload.a[0].b`; undefined when it is not there. */
export function valueAt(payload: unknown, path: string): unknown {
  let value = payload;
  for (const [, name, index] of path.slice('payload'.length).matchAll(/\.([\w-]+)|\[(\d+)\]/g)) {
    const key = name ?? index ?? '';
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value ?? undefined;
}

/** One address or a list of them; throws a TemplateFailure that names the path. */
export function addressesAt(payload: unknown, path: string): readonly MailAddress[] {
  const value = valueAt(payload, path);
  if (value === undefined || value === '') return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > MOST_ADDRESSES)
    throw new TemplateFailure(`there are more than ${MOST_ADDRESSES} addresses at ${path}`);
  return list.map((item) => {
    const address = typeof item === 'string' ? addressOf(item) : undefined;
    if (!address) throw new TemplateFailure(`what is at ${path} is no address`);
    return address;
  });
}

export function addressOf(text: string): MailAddress | undefined {
  const [, name = '', address] = ADDRESS.exec(text.trim()) ?? [];
  return address === undefined ? undefined : { name: name.trim().replace(/^"(.*)"$/, '$1'), address };
}

/** `Name <address>`, with the name quoted. */
export function addressText({ name, address }: MailAddress): string {
  return name === '' ? address : `"${name.replace(/["\\]/g, '\\$&')}" <${address}>`;
}

/** Only what the payload itself holds is attached: a path of a file or a URL in it is not followed. */
export function attachmentsAt(payload: unknown, path: string): readonly MailAttachment[] {
  const value = valueAt(payload, path) ?? [];
  if (!Array.isArray(value)) throw new TemplateFailure(`what is at ${path} is no list of attachments`);
  return (value as readonly unknown[]).map((item) => {
    const filename = valueAt(item, 'payload.filename');
    const content = valueAt(item, 'payload.content');
    const type = valueAt(item, 'payload.content_type');
    const isNamed = typeof filename === 'string' && /^[^/\\\p{Cc}]{1,255}$/u.test(filename);
    const hasType = type === undefined || (typeof type === 'string' && /^[\w.+-]+\/[\w.+-]+$/.test(type));
    if (!isNamed || !hasType || typeof content !== 'string' || !BASE64.test(content)) {
      throw new TemplateFailure(`an attachment at ${path} lacks a filename, or content in base64`);
    }
    return { filename, content, contentType: type };
  });
}
