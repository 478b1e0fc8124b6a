/** The five answers of `walpost init`: from flags, from a person, or their defaults. */
import { usage } from './flag-values.ts';

export interface Answers {
  readonly databaseUrl: string;
  readonly sink: SinkChoice;
  /** Empty for stdout. */
  readonly url: string;
  /** A pattern of event types. */
  readonly events: string;
  readonly port: number;
}

const SINKS = ['webhook', 'realtime', 'stdout'] as const;
export type SinkChoice = (typeof SINKS)[number];

export interface AnswerFlags {
  readonly databaseUrl?: string;
  readonly sink?: string;
  readonly url?: string;
  readonly events?: string;
  readonly port?: string;
}

/**
 * Resolves with what a person says; with the default, when that is an empty line or when nobody is asked. `read` throws USAGE for
 * an answer that cannot be meant, and a person is asked again then.
 */
export type Ask = <T>(question: string, byDefault: string, read: (text: string) => T) => Promise<T>;

/** Throws USAGE for a flag that cannot be meant, before anything is asked. */
export async function answersOf(flags: AnswerFlags, ask: Ask): Promise<Answers> {
  const given = {
    databaseUrl: known(flags.databaseUrl, databaseUrlOf),
    sink: known(flags.sink, sinkOf),
    url: known(flags.url, destinationOf),
    events: known(flags.events, eventsOf),
    port: known(flags.port, portOf),
  };
  const databaseUrl =
    given.databaseUrl ??
    (await ask('Connection string of the database', 'postgres://walpost@127.0.0.1:5432/app', databaseUrlOf));
  const sink = given.sink ?? (await ask(`Where to: ${SINKS.join(', ')}`, 'stdout', sinkOf));
  const place = sink === 'realtime' ? 'URL of the Supabase project' : 'URL of the receiver';
  const url = sink === 'stdout' ? '' : (given.url ?? (await ask(place, 'http://127.0.0.1:4000/', destinationOf)));
  const events = given.events ?? (await ask('Which event types', '*', eventsOf));
  const port = given.port ?? (await ask('Port of health, status and metrics', '9464', portOf));
  return { databaseUrl, sink, url, events, port };
}

function known<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}

const databaseUrlOf = (text: string): string =>
  urlOf(text, { flag: '--database-url', protocols: ['postgres:', 'postgresql:'] });

const destinationOf = (text: string): string => urlOf(text, { flag: '--url', protocols: ['http:', 'https:'] });

function eventsOf(text: string): string {
  if (/^[\w.*:/-]{1,255}$/.test(text)) return text;
  throw usage(`--events takes a pattern such as booking.*, not "${text}".`);
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw usage(`--port takes a number from 1 to 65535, not "${text}".`);
}

function sinkOf(text: string): SinkChoice {
  const found = SINKS.find((sink) => sink === text);
  if (found) return found;
  throw usage(`--sink takes ${SINKS.join(', ')}, not "${text}".`, 'Other sinks are in docs/sinks/README.md.');
}

/** The text is not repeated: it may hold a password. A quote would end the value in .env. */
function urlOf(text: string, { flag, protocols }: { readonly flag: string; readonly protocols: string[] }): string {
  const trimmed = text.trim().replaceAll("'", '%27');
  const isUrl = URL.canParse(trimmed) && protocols.includes(new URL(trimmed).protocol) && !/[\r\n]/.test(trimmed);
  if (!isUrl) throw usage(`${flag} takes a URL that begins with ${protocols.map((each) => `${each}//`).join(' or ')}.`);
  return trimmed;
}
