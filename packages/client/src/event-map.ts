import { checkValue } from './check-value.ts';
import type { NewEvent } from './new-event.ts';
import type { InputOf, OutputOf, StandardSchema } from './standard-schema.ts';

/** An event type: the schema of its payload, alone or with what its events have unless they say something else. */
export type EventDefinition =
  | StandardSchema
  | { readonly schema: StandardSchema; readonly version?: number | undefined; readonly topic?: string | undefined };

export type EventDefinitions = Readonly<Record<string, EventDefinition>>;

/** Event type to payload. */
export type PayloadsOf<Definitions> = {
  [Type in keyof Definitions]: InputOf<
    Definitions[Type] extends { readonly schema: infer Schema } ? Schema : Definitions[Type]
  >;
};

/** One event of the map: its type decides on its payload. */
export type EventOf<Payloads, More extends string = never> = {
  [Type in keyof Payloads & string]: Omit<NewEvent<Payloads[Type]>, 'eventType' | More> & { readonly eventType: Type };
}[keyof Payloads & string];

/** Of functions that `walpost.once` calls; names as `app.create_course`. */
export type CommandDefinitions = Readonly<
  Record<string, { readonly arguments: StandardSchema; readonly result: StandardSchema }>
>;

/** Name of the function to what it takes and returns. */
export type CommandsOf<Definitions> = {
  [Name in keyof Definitions]: Definitions[Name] extends {
    readonly arguments: infer Given;
    readonly result: infer Result;
  }
    ? { readonly arguments: InputOf<Given>; readonly result: OutputOf<Result> }
    : never;
};

/** What a map is when it runs: definitions, or for plain types the version of each. */
export type RuntimeEvents = Readonly<Record<string, EventDefinition | number>> | undefined;

/** The event with the payload that its schema has made, and with the defaults of its definition. `where` stands before an error. */
export async function eventOf(events: RuntimeEvents, event: NewEvent, where = ''): Promise<NewEvent> {
  if (!events) return event;
  const definition = Object.hasOwn(events, event.eventType) ? events[event.eventType] : undefined;
  if (definition === undefined) {
    throw new TypeError(`walpost: "${event.eventType}" is not in the event map: ${Object.keys(events).join(', ')}`);
  }
  if (typeof definition === 'number') return { ...event, eventVersion: event.eventVersion ?? definition };
  const { schema, version, topic } = '~standard' in definition ? { schema: definition } : { ...definition };
  return {
    ...event,
    payload: await checkValue(schema, `${where}the payload of "${event.eventType}"`, event.payload),
    eventVersion: event.eventVersion ?? version,
    topic: event.topic ?? topic,
  };
}

/** All of them, in order; an error names the first that is wrong, counted from 1 as `publish_many` counts. */
export async function eventsOf(events: RuntimeEvents, many: readonly NewEvent[]): Promise<readonly NewEvent[]> {
  const checked: NewEvent[] = [];
  for (const event of many) checked.push(await eventOf(events, event, `event ${checked.length + 1}: `));
  return checked;
}
