import { commandRowsOf, type Transaction } from './database.ts';
import { jsonText } from './json-text.ts';

/** A call of a function of the application, which takes one jsonb and returns one. */
export interface Command<Name extends string = string, Arguments = unknown> {
  readonly organizationId: string;
  /** The same key and arguments give the first result, and run nothing. */
  readonly idempotencyKey: string;
  /** Such as `app.create_course`. */
  readonly command: Name;
  readonly arguments: Arguments;
}

const ONCE = `
  SELECT walpost.once($1::text::uuid, $2::text, $3::text::regprocedure, $4::text::jsonb)::text AS result`;

/** Runs the command once for each key, and returns its result: of this call, or of the first one with the key. */
export async function once(tx: Transaction, command: Command): Promise<unknown> {
  const values = [
    command.organizationId,
    command.idempotencyKey,
    signatureOf(command.command),
    jsonText(command.arguments),
  ];
  const [row] = await commandRowsOf<{ readonly result: string }>(tx, ONCE, values);
  return JSON.parse(row?.result ?? 'null') as unknown;
}

export function signatureOf(name: string): string {
  return name.includes('(') ? name : `${name}(jsonb)`;
}
