import { checkValue } from './check-value.ts';
import type { Transaction } from './database.ts';
import {
  type CommandDefinitions,
  type CommandsOf,
  type EventDefinitions,
  eventOf,
  type EventOf,
  eventsOf,
  type PayloadsOf,
  type RuntimeEvents,
} from './event-map.ts';
import type { NewEvent } from './new-event.ts';
import { type Command, once } from './once.ts';
import { emit, publish, publishMany } from './publish.ts';

/** What a command takes and returns, by its name. */
export type Commands = Readonly<Record<string, { readonly arguments: unknown; readonly result: unknown }>>;

/** The functions of this package for the events of one map: types when it is compiled, schemas when it runs. */
export interface Publisher<Payloads, Known> {
  /** See `publish`. */
  publish(tx: Transaction, event: EventOf<Payloads>): Promise<string>;
  /** See `publishMany`. */
  publishMany(tx: Transaction, events: readonly EventOf<Payloads>[]): Promise<readonly string[]>;
  /** See `emit`. */
  emit(tx: Transaction, event: EventOf<Payloads, 'idempotencyKey'>): Promise<string>;
  /** See `once`. */
  once<Name extends keyof Known & string>(
    tx: Transaction,
    command: CommandOf<Known, Name>,
  ): Promise<ResultOf<Known, Name>>;
}

export type CommandOf<Known, Name extends keyof Known & string> = Command<
  Name,
  Known[Name] extends { readonly arguments: infer Given } ? Given : unknown
>;
export type ResultOf<Known, Name extends keyof Known> = Known[Name] extends { readonly result: infer Result }
  ? Result
  : unknown;

/** A publisher of events with schemas: each payload is checked before it is sent. */
export function createPublisher<Events extends EventDefinitions, Known extends CommandDefinitions>(
  events: Events,
  commands?: Known,
): Publisher<PayloadsOf<Events>, CommandsOf<Known>>;
/** A publisher of events with plain types, which nothing checks when it runs. Without `versions` each type has version 1. */
export function createPublisher<Payloads extends object, Known extends object = Commands>(
  versions?: Readonly<Record<keyof Payloads & string, number>>,
): Publisher<Payloads, Known>;
export function createPublisher(events?: RuntimeEvents, commands?: CommandDefinitions): Publisher<never, never> {
  const typed = {
    publish: async (tx: Transaction, event: NewEvent) => publish(tx, await eventOf(events, event)),
    publishMany: async (tx: Transaction, many: readonly NewEvent[]) => publishMany(tx, await eventsOf(events, many)),
    emit: async (tx: Transaction, event: NewEvent) => emit(tx, await eventOf(events, event)),
    once: (tx: Transaction, command: Command) => checkedOnce(commands, command, (checked) => once(tx, checked)),
  };
  return typed as Publisher<never, never>;
}

/** Arguments and result as their schemas make them. */
export async function checkedOnce(
  commands: CommandDefinitions | undefined,
  command: Command,
  run: (command: Command) => Promise<unknown>,
): Promise<unknown> {
  const name = command.command;
  const schemas = commands && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!schemas) {
    if (commands)
      throw new TypeError(`walpost: "${name}" is not in the map of commands: ${Object.keys(commands).join(', ')}`);
    return run(command);
  }
  const given = await checkValue(schemas.arguments, `what "${name}" is called with`, command.arguments);
  return checkValue(schemas.result, `what "${name}" returned`, await run({ ...command, arguments: given }));
}
