import type { Envelope } from '../../../vocabulary/envelope.ts';

type Always = 'event_id' | 'event_type' | 'topic' | 'entity_type' | 'entity_id';

/**
 * An event as a channel tells of it. Some channels send no more than ids, type and topic (`live.data: minimal`, and
 * `form: list` of Realtime), so everything else may be missing.
 */
export type ChannelEvent<Payload = unknown, Type extends string = string> = Pick<
  Envelope,
  Exclude<Always, 'event_type'>
> &
  Partial<Omit<Envelope<Payload>, Always>> & { readonly event_type: Type };

/** Something that has changed, without a word on how: `form: invalidate` of Realtime. */
export interface ChangedEntity {
  readonly topic: string;
  /** Null for events that are about no entity. */
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  /** The last event of the entity. */
  readonly event_id: string;
}

/** Each event of a map from type to payload; `event_type` tells them apart. */
export type AnyEvent<Events> = {
  [Type in keyof Events & string]: ChannelEvent<Events[Type], Type>;
}[keyof Events & string];

/** What one message of a channel holds, whatever form it has. */
export interface ChannelMessage {
  readonly organizationId: string | undefined;
  readonly events: readonly ChannelEvent[];
  readonly entities: readonly ChangedEntity[];
}

const NONE: readonly never[] = [];

/** Undefined when it is none of the forms that walpost sends. */
export function readMessage(data: unknown): ChannelMessage | undefined {
  if (!isObject(data)) return undefined;
  const { organization_id: given, events, entities } = data;
  const organizationId = typeof given === 'string' ? given : undefined;
  if (Array.isArray(events)) {
    return events.every(isEvent) ? { organizationId, events, entities: NONE } : undefined;
  }
  if (Array.isArray(entities)) {
    return entities.every(isEntity) ? { organizationId, events: NONE, entities } : undefined;
  }
  return isEvent(data) ? { organizationId, events: [data], entities: NONE } : undefined;
}

function isEvent(value: unknown): value is ChannelEvent {
  return isEntity(value) && typeof (value as { event_type?: unknown }).event_type === 'string';
}

function isEntity(value: unknown): value is ChangedEntity {
  return (
    isObject(value) &&
    typeof value['event_id'] === 'string' &&
    typeof value['topic'] === 'string' &&
    isTextOrNull(value['entity_type']) &&
    isTextOrNull(value['entity_id'])
  );
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
