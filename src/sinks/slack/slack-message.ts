/**
 * The message for the events of a batch. One event is shown with what it holds; of several the first few are shown, and the
 * others are counted by their types.
 */
import type { Event } from '../../event.ts';
import type { Verdict } from '../../pipeline.ts';
import { compilePattern } from '../../pattern.ts';
import { escapeMrkdwn, textOfValue } from '../../template/escapes.ts';
import { type EventScope, scopeOf } from '../../template/event-scope.ts';
import type { Template } from '../../template/template.ts';
import { soundTemplate } from '../../template/template-source.ts';
import { verdictOfTemplate } from '../template-verdict.ts';
import { blocksOf, contextLine, cut, MOST_BLOCKS, MOST_FIELDS, section, type SlackBlock } from './slack-blocks.ts';

/** Events of a burst that are shown. */
const SHOWN = 5;
const VALUE_LENGTH = 300;
const NOTICE_LENGTH = 300;
const MOST_TYPES = 10;

export interface SlackMessage {
  /** What a notification shows; mrkdwn. */
  readonly text: string;
  readonly blocks: readonly SlackBlock[];
}

export interface Composed {
  /** Undefined when no event is left for it. */
  readonly message: SlackMessage | undefined;
  /** The events that are not in it, with the reason. */
  readonly refused: ReadonlyMap<Event, Verdict>;
}

export class SlackComposer {
  private readonly templates: readonly { readonly fits: (type: string) => boolean; readonly template: Template }[];

  /** Patterns of event types with their templates; the first that fits counts. */
  constructor(templates: Readonly<Record<string, string>>, where: string) {
    this.templates = Object.entries(templates).map(([pattern, source]) => ({
      fits: compilePattern(pattern),
      template: soundTemplate(source, 'slack', `${where}.${pattern}`),
    }));
  }

  compose(events: readonly Event[]): Composed {
    const refused = new Map<Event, Verdict>();
    const shown: SlackBlock[][] = [];
    const isBurst = events.length > 1;
    for (const event of events) {
      if (shown.length === SHOWN) break;
      try {
        shown.push([...this.blocks(event, isBurst)]);
      } catch (error) {
        refused.set(event, verdictOfTemplate(error, 'templates'));
      }
    }
    const left = events.filter((event) => !refused.has(event));
    const [first] = left;
    if (first === undefined) return { message: undefined, refused };
    const text = cut(left.length === 1 ? escapeMrkdwn(first.eventType) : countOf(left), NOTICE_LENGTH);
    const blocks = left.length === 1 ? shown.flat() : burst(left, shown);
    return { message: { text, blocks: blocks.slice(0, MOST_BLOCKS) }, refused };
  }

  private blocks(event: Event, isBurst: boolean): readonly SlackBlock[] {
    const template = this.templates.find(({ fits }) => fits(event.eventType))?.template;
    if (template) return blocksOf(template.render(scopeOf(event)));
    return isBurst ? [section(titleOf(event))] : inFull(event, scopeOf(event));
  }
}

function burst(events: readonly Event[], shown: readonly (readonly SlackBlock[])[]): SlackBlock[] {
  const rest = events.slice(shown.length);
  const title = section(`*${countOf(events)}*\nOrganization ${escapeMrkdwn(events[0]?.organizationId ?? '')}`);
  // A long template is cut, so that the count of the rest has a place.
  const room = MOST_BLOCKS - 2;
  const body = [title, ...shown.flat().slice(0, room)];
  return rest.length === 0 ? body : [...body, contextLine(`and ${rest.length} more`)];
}

/** `7 events: order.created (4), order.paid (3)` */
function countOf(events: readonly Event[]): string {
  const counts = new Map<string, number>();
  for (const { eventType } of events) counts.set(eventType, (counts.get(eventType) ?? 0) + 1);
  const named = [...counts].slice(0, MOST_TYPES).map(([type, count]) => `${escapeMrkdwn(cut(type, 80))} (${count})`);
  return `${events.length} events: ${named.join(', ')}${counts.size > MOST_TYPES ? ', …' : ''}`;
}

function titleOf({ eventType, topic, entityType, entityId }: Event): string {
  const entity = [entityType, entityId].filter((part) => part !== null && part !== '').join(' ');
  return `*${escapeMrkdwn(eventType)}*\n${escapeMrkdwn(topic)}${entity === '' ? '' : `: ${escapeMrkdwn(entity)}`}`;
}

function inFull(event: Event, { fields: { payload } }: EventScope): SlackBlock[] {
  const isMap = typeof payload === 'object' && payload !== null && !Array.isArray(payload);
  const entries: readonly (readonly [string, unknown])[] = isMap ? Object.entries(payload) : [['payload', payload]];
  const lines = entries.slice(0, MOST_FIELDS).map(([name, value]) => {
    const text = textOfValue(value).replace(/\s+/g, ' ').trim().slice(0, VALUE_LENGTH).toWellFormed();
    return `*${escapeMrkdwn(cut(name, 80))}*\n${escapeMrkdwn(text) || '–'}`;
  });
  const about = `Organization ${escapeMrkdwn(event.organizationId)} · ${escapeMrkdwn(event.eventId)}`;
  return [
    section(titleOf(event), lines),
    contextLine(event.createdAt === null ? about : `${about} · ${event.createdAt}`),
  ];
}
