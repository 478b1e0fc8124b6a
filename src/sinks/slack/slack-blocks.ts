/**
 * Blocks within Slack's limits: 50 a message, 3,000 characters in the text of a section, ten fields of 2,000, a header of 150.
 * https://docs.slack.dev/reference/block-kit/blocks
 */
import { TemplateFailure } from '../../template/template-failure.ts';

export type SlackBlock = Readonly<Record<string, unknown>>;

export const MOST_BLOCKS = 50;
const SECTION_TEXT = 3000;
const FIELD_TEXT = 2000;
const HEADER_TEXT = 150;
export const MOST_FIELDS = 10;
const MOST_ELEMENTS = 10;

/** The blocks that a template gave: a list, or an object with `blocks`. Throws a TemplateFailure. */
export function blocksOf(json: string): readonly SlackBlock[] {
  const given = JSON.parse(json) as unknown;
  const list: unknown = isObject(given) ? given['blocks'] : given;
  if (!Array.isArray(list) || list.length === 0 || !list.every(isObject)) {
    throw new TemplateFailure('gives no list of blocks for this event');
  }
  return list.slice(0, MOST_BLOCKS).map(withinLimits);
}

export function section(mrkdwn: string, fields: readonly string[] = []): SlackBlock {
  const texts = fields.map((text) => ({ type: 'mrkdwn', text }));
  return withinLimits({
    type: 'section',
    text: { type: 'mrkdwn', text: mrkdwn },
    ...(texts.length > 0 && { fields: texts }),
  });
}

export function contextLine(mrkdwn: string): SlackBlock {
  return withinLimits({ type: 'context', elements: [{ type: 'mrkdwn', text: mrkdwn }] });
}

function withinLimits(block: SlackBlock): SlackBlock {
  const { type, text, fields, elements } = block;
  return {
    ...block,
    ...(text !== undefined && { text: fitted(text, type === 'header' ? HEADER_TEXT : SECTION_TEXT) }),
    ...(Array.isArray(fields) && { fields: fields.slice(0, MOST_FIELDS).map((field) => fitted(field, FIELD_TEXT)) }),
    ...(type === 'context' &&
      Array.isArray(elements) && {
        elements: elements.slice(0, MOST_ELEMENTS).map((part) => fitted(part, SECTION_TEXT)),
      }),
  };
}

/** `verbatim` keeps Slack from making links and mentions of what only looks like them. */
function fitted(given: unknown, most: number): unknown {
  if (!isObject(given) || typeof given['text'] !== 'string') return given;
  const text = cut(given['text'], most);
  return given['type'] === 'mrkdwn' ? { verbatim: true, ...given, text } : { ...given, text };
}

/** Cuts escaped text, and no entity or pair in two. */
export function cut(escaped: string, most: number): string {
  if (escaped.length <= most) return escaped;
  const kept = escaped.slice(0, most - 1).replace(/&[a-z]{0,3}$/, '');
  return `${kept.replace(/[\ud800-\udbff]$/, '')}…`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
