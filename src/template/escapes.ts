/** How a value is written into a text of each kind. A template cannot leave the escaping out. */
import { printExact } from './exact-json.ts';

/** `slack`: JSON whose texts are Slack's mrkdwn. `html` serves XML too. */
export type TemplateKind = 'json' | 'slack' | 'html' | 'form' | 'text';

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

const ESCAPES: Readonly<Record<TemplateKind, (text: string) => string>> = {
  json: insideJson,
  slack: (text) => insideJson(escapeMrkdwn(text)),
  html: escapeHtml,
  form: (text) => encodeURIComponent(text.toWellFormed()),
  text: (text) => text,
};

/** Nothing for null and what is not there; a list or an object as JSON. */
export function textOfValue(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : printExact(value);
}

export function escaped(kind: TemplateKind, value: unknown): string {
  return ESCAPES[kind](textOfValue(value));
}

/** A whole value of JSON, quotes and all. In other kinds it is text like any other. */
export function wholeJson(kind: TemplateKind, value: unknown): string {
  const json = printExact(value);
  // Outside its strings JSON has none of the characters that mrkdwn escapes.
  return kind === 'slack' ? escapeMrkdwn(json) : kind === 'json' ? json : ESCAPES[kind](json);
}

/** https://docs.slack.dev/messaging/formatting-message-text: these three are the control characters. */
export function escapeMrkdwn(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (found) => HTML[found] ?? found);
}

function insideJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** The kind that a Content-Type asks for. */
export function kindOf(contentType: string): TemplateKind {
  const [type = ''] = contentType.toLowerCase().split(';');
  if (/[/+]json\s*$/.test(type)) return 'json';
  if (/html|[/+]xml\s*$/.test(type)) return 'html';
  return type.trim() === 'application/x-www-form-urlencoded' ? 'form' : 'text';
}
