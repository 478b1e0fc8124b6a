/**
 * For applications that have a supabase-js client and no connection to Postgres, in edge functions too: each call goes
 * through PostgREST, and is one transaction of its own. It cannot be that of another change; for both at once write a function
 * in SQL and call it with `once`.
 */
import { commandError, databaseError, NotAllowedError, NotMigratedError, PublishError } from './errors.ts';
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
import { withLongNumbers } from './json-text.ts';
import { argumentsOf, type NewEvent } from './new-event.ts';
import { type Command, signatureOf } from './once.ts';
import { requirePossibleSize } from './payload-limit.ts';
import { type CommandOf, type Commands, checkedOnce, type ResultOf } from './publisher.ts';
import { type EventStatus, type WaitOptions, waitUntilSettled } from './status.ts';

interface Answer {
  readonly data: unknown;
  readonly error: { readonly message: string; readonly code?: string; readonly hint?: string | null } | null;
}

/** What is needed of a client of supabase-js. Types of a database that do not have the schema walpost fit too. */
export interface SupabaseClient {
  schema(name: never): { rpc(name: never, given: never): PromiseLike<Answer> };
}

/** The same as `Publisher`, without a transaction. */
export interface SupabasePublisher<Payloads, Known> {
  /** Returns the id of the event. With an idempotency key the call may be repeated when no answer came. */
  publish(event: EventOf<Payloads>): Promise<string>;
  publishMany(events: readonly EventOf<Payloads>[]): Promise<readonly string[]>;
  emit(event: EventOf<Payloads, 'idempotencyKey'>): Promise<string>;
  once<Name extends keyof Known & string>(command: CommandOf<Known, Name>): Promise<ResultOf<Known, Name>>;
  status(eventId: string): Promise<EventStatus>;
  waitFor(eventId: string, options?: Omit<WaitOptions, 'organizationId'>): Promise<EventStatus>;
}

export interface SupabaseOptions {
  /** The schema that the functions are called in, which PostgREST must expose; walpost by default. */
  readonly schema?: string | undefined;
}

/** Events with schemas: each payload is checked before it is sent. */
export function createSupabasePublisher<Events extends EventDefinitions, Known extends CommandDefinitions>(
  supabase: SupabaseClient,
  events: Events,
  options?: SupabaseOptions & { readonly commands?: Known | undefined },
): SupabasePublisher<PayloadsOf<Events>, CommandsOf<Known>>;
/** Events with plain types. Without `versions` each type has version 1. */
export function createSupabasePublisher<Payloads extends object, Known extends object = Commands>(
  supabase: SupabaseClient,
  versions?: Readonly<Record<keyof Payloads & string, number>>,
  options?: SupabaseOptions,
): SupabasePublisher<Payloads, Known>;
export function createSupabasePublisher(
  supabase: SupabaseClient,
  events?: RuntimeEvents,
  { schema = 'walpost', commands }: SupabaseOptions & { readonly commands?: CommandDefinitions | undefined } = {},
): SupabasePublisher<never, never> {
  const call = async (name: string, given: object): Promise<unknown> => {
    const { data, error } = await supabase.schema(schema as never).rpc(name as never, withLongNumbers(given) as never);
    if (error) throw rpcError(error, schema, name === 'once' ? commandError : databaseError);
    return data;
  };
  const prepared = (checked: NewEvent): object => {
    requirePossibleSize(checked);
    return argumentsOf(checked);
  };
  const status = async (eventId: string): Promise<EventStatus> =>
    (await call('event_status', { event_id: eventId })) as EventStatus;
  const typed = {
    publish: async (event: NewEvent) => call('publish', prepared(await eventOf(events, event))),
    publishMany: async (many: readonly NewEvent[]) =>
      many.length === 0 ? [] : call('publish_many', { events: (await eventsOf(events, many)).map(prepared) }),
    emit: async (event: NewEvent) => call('emit', prepared(await eventOf(events, event))),
    once: (command: Command) => checkedOnce(commands, command, (checked) => call('once', onceArguments(checked))),
    status,
    waitFor: (eventId: string, options: WaitOptions = {}) => waitUntilSettled(() => status(eventId), options),
  };
  return typed as SupabasePublisher<never, never>;
}

function onceArguments(command: Command): object {
  return {
    organization_id: command.organizationId,
    idempotency_key: command.idempotencyKey,
    command: signatureOf(command.command),
    arguments: command.arguments,
  };
}

/** PostgREST hands on the SQLSTATE of the server; its own codes begin with PGRST. */
function rpcError(error: NonNullable<Answer['error']>, schema: string, errorOf: typeof databaseError): unknown {
  const known = errorOf(error);
  if (known instanceof PublishError) return known;
  const { message, code } = error;
  if (code === 'PGRST106' || code === 'PGRST202') {
    const hint = `Expose the schema ${schema} in the API settings of the project, run walpost migrate, and NOTIFY pgrst, 'reload schema'.`;
    return new NotMigratedError(`walpost: ${message}`, { code, hint });
  }
  if (code?.startsWith('PGRST3')) {
    return new NotAllowedError(`walpost: ${message}`, { code, hint: 'Sign in again: the token was not accepted.' });
  }
  return new PublishError(`walpost: ${message}`, { code: code || undefined, hint: error.hint ?? undefined });
}
