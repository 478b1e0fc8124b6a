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

/** Resolves with what a person says; with the default, when that is an empty line or when nobody is asked. */
export type Ask = (question: string, byDefault: string) => Promise<string>;

/** Throws USAGE for an answer that cannot be meant. */
export async function answersOf(flags: AnswerFlags, ask: Ask): Promise<Answers> {
  const databaseUrl = urlOf(
    flags.databaseUrl ?? (await ask('Connection string of the database', 'postgres://walpost@127.0.0.1:5432/app')),
    { flag: '--database-url', protocols: ['postgres:', 'postgresql:'] },
  );
  const sink = sinkOf(flags.sink ?? (await ask(`Where to: ${SINKS.join(', ')}`, 'stdout')));
  const url = sink === 'stdout' ? '' : await destination(flags, ask, sink);
  const events = flags.events ?? (await ask('Which event types', '*'));
  if (!/^[\w.*:/-]{1,255}$/.test(events)) throw usage(`--events takes a pattern such as booking.*, not "${events}".`);
  const portText = flags.port ?? (await ask('Port of health, status and metrics', '9464'));
  const port = Number(portText);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw usage(`--port takes a number from 1 to 65535, not "${portText}".`);
  }
  return { databaseUrl, sink, url, events, port };
}

async function destination({ url }: AnswerFlags, ask: Ask, sink: SinkChoice): Promise<string> {
  const question = sink === 'realtime' ? 'URL of the Supabase project' : 'URL of the receiver';
  const text = url ?? (await ask(question, 'http://127.0.0.1:4000/'));
  return urlOf(text, { flag: '--url', protocols: ['http:', 'https:'] });
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
