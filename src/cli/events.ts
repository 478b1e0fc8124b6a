/** `walpost events show`: what happened to one event, and where it is now. */
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { type EventStory, readEventStory, type StoryFields } from '../parking/event-story.ts';
import { columnMapping } from '../postgres/source/column-mapping.ts';
import { RouteTable } from '../router/route-table.ts';
import type { ConfigFlags } from './config-options.ts';
import { endpointsAsked } from './event-endpoints.ts';
import { moment, placeRows, placesOf } from './event-places.ts';
import { openJobDatabase } from './job-database.ts';
import { say, sayJson } from './output.ts';
import { recordText, textTable } from './text-table.ts';

export interface EventFlags extends ConfigFlags {
  readonly payload?: boolean;
  readonly json?: boolean;
}

/** Of each lane of a sink, first and last ones. */
const ATTEMPTS_SHOWN = 3;

export async function showEvent(config: Config, id: string, { payload = false, json }: EventFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  const source = { table: config.source.table, mapping: columnMapping(config.source) };
  const story = await readEventStory(pool, source, { slot, id });
  if (!story) throw unknownEvent(config, id);
  const routed = routedTo(config, story.fields);
  const { asked, missed } = await endpointsAsked(pool, config, { fields: story.fields, routed });
  const places = placesOf({ ...story, missed }, routed, asked);
  const { pruned, inTable, settled, steps } = story;
  const fields = shown(story.fields ?? pruned, payload);
  if (json)
    return sayJson({ event_id: id, inTable, pruned: pruned !== null, settled, sinks: places, timeline: steps, fields });
  const most = shortened(steps);
  process.stdout.write(
    recordText(Object.entries(fields ?? { event_id: id }).map(([name, value]) => [name, value ?? ''])),
  );
  if (!inTable)
    say(`No row of ${source.table} has this id: it was pruned${pruned ? '' : ', or came by walpost.emit'}.`);
  process.stdout.write(`\n${stepsText(most)}\n\n`);
  if (most.length < steps.length) {
    say(leftOutText(steps.length - most.length));
    process.stdout.write('\n');
  }
  process.stdout.write(recordText(placeRows(places)));
}

function leftOutText(count: number): string {
  const which =
    count === 1
      ? '1 attempt that ended like the one before is'
      : `${count} attempts that ended like the one before are`;
  return `${which} left out; --json has all.`;
}

/** The lane has a column where one has a name: an endpoint of a customer, or an entity. */
function stepsText(steps: EventStory['steps']): string {
  const hasLanes = steps.some(({ lane }) => lane);
  const head = ['at (UTC)', 'step', 'sink', ...(hasLanes ? ['lane'] : []), 'attempt', 'job', 'reason'];
  const rows = steps.map(({ at, step, sink, lane, attempt, job, reason }) => [
    moment(at),
    step,
    sink ?? '',
    ...(hasLanes ? [lane ?? ''] : []),
    String(attempt ?? ''),
    job ?? '',
    reason ?? '',
  ]);
  return textTable(head, rows).trimEnd();
}

/**
 * Of each lane of a sink the first attempts and the last ones, and those between that ended in another way than the one
 * before: each endpoint is a destination of its own.
 */
export function shortened(steps: EventStory['steps']): EventStory['steps'] {
  const attempts = steps.filter(({ attempt, step }) => attempt !== null && step !== 'dead');
  const laneOf = ({ sink, lane }: EventStory['steps'][number]): string => JSON.stringify([sink, lane]);
  const between = [...new Set(attempts.map(laneOf))].flatMap((lane) => {
    const own = attempts.filter((step) => laneOf(step) === lane);
    const isLikeBefore = own.map((step, index) => step.step === own[index - 1]?.step);
    return own.slice(0, -ATTEMPTS_SHOWN).filter((_, index) => index >= ATTEMPTS_SHOWN && isLikeBefore[index]);
  });
  const leftOut = new Set(between);
  return steps.filter((step) => !leftOut.has(step));
}

function shown(fields: StoryFields | null, withPayload: boolean): Record<string, string | null> | null {
  if (!fields) return null;
  const hidden = withPayload ? [] : ['payload', 'headers'];
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !hidden.includes(name)));
}

/** What its routes name now; they may have named others when it was sent. */
function routedTo({ routes, sinks }: Config, fields: StoryFields | null): readonly string[] {
  if (!fields?.event_type || !fields.organization_id) return [];
  const names = Object.keys(sinks);
  const { topic, event_type: eventType, target, entity_type: entityType, organization_id: organizationId } = fields;
  const found = new RouteTable(routes, names).match({
    topic: topic ?? 'default',
    eventType,
    target: target ?? null,
    entityType: entityType ?? null,
    organizationId,
  });
  return found.flatMap((index) => names[index] ?? []);
}

function unknownEvent({ source, delivery }: Config, id: string): WalpostError {
  const log =
    delivery.log === 'off'
      ? 'walpost.delivery_log (which delivery.log: off does not write)'
      : 'walpost.delivery_log (kept for seven days)';
  return new WalpostError('EVENT_UNKNOWN', {
    detail: `Nothing knows ${id}: looked at ${source.table} (where rows are pruned), walpost.parked, walpost.dead_letters and ${log}.`,
  });
}
