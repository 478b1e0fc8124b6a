/**
 * What can go wrong, as classes. `code` is the SQLSTATE, `hint` what to do.
 *
 * The error of the database library is not kept as `cause`: several libraries put the parameters into theirs, and with them
 * the payload, which belongs into no log.
 */
export class PublishError extends Error {
  override readonly name: string = 'PublishError';
  readonly code: string | undefined;
  readonly hint: string | undefined;

  constructor(
    message: string,
    { code, hint }: { readonly code?: string | undefined; readonly hint?: string | undefined } = {},
  ) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** A field of the event is missing, or has a value that walpost does not accept. */
export class InvalidEventError extends PublishError {
  override readonly name = 'InvalidEventError';
}

/** The payload, or the headers, are larger than their limit. */
export class TooLargeError extends PublishError {
  override readonly name = 'TooLargeError';
}

/** The session works for another organization or for none, or the login has no right to publish. */
export class NotAllowedError extends PublishError {
  override readonly name = 'NotAllowedError';
}

/** `check_event_types` is strict, and this type and version is not in walpost.event_types. */
export class UnregisteredEventError extends PublishError {
  override readonly name = 'UnregisteredEventError';
}

/** The schema walpost is missing in this database, or older than what was asked for. */
export class NotMigratedError extends PublishError {
  override readonly name = 'NotMigratedError';
}

/** The whole transaction has to be tried again; `retryTransaction` does it. */
export class RetryableError extends PublishError {
  override readonly name = 'RetryableError';
}

/** No relay reads messages, so that an event of `emit` would be lost. */
export class NoRelayError extends PublishError {
  override readonly name = 'NoRelayError';
}

/** The client is not inside a transaction, so the event would exist whatever becomes of the change. Nothing was written. */
export class NotInTransactionError extends PublishError {
  override readonly name = 'NotInTransactionError';

  constructor() {
    super('walpost: this client is not inside a transaction', {
      code: '25P01',
      hint: 'Give the client that has begun the transaction of your change. For an event that belongs to no change: autocommit(client).',
    });
  }
}

/** One value that does not fit. It says what kind of value was there, not the value: that belongs into no log. */
export interface PayloadProblem {
  /** Such as `items[0].price`; empty for the payload itself. */
  readonly path: string;
  readonly expected: string;
  readonly got: string;
}

/** The payload does not fit its schema. Nothing was sent to the database. */
export class InvalidPayloadError extends PublishError {
  override readonly name = 'InvalidPayloadError';
  readonly problems: readonly PayloadProblem[];

  constructor(what: string, problems: readonly PayloadProblem[]) {
    const lines = problems.map(({ path, expected, got }) => `${path || 'it'}: expected ${expected}, got ${got}`);
    super(`walpost: ${what} does not fit its schema: ${lines.join('; ')}`);
    this.problems = problems;
  }
}

type Class = typeof PublishError;
const OF_SQLSTATE: readonly (readonly [codes: RegExp, kind: Class, hint: string])[] = [
  [/^22/, InvalidEventError, 'Correct the event.'],
  [/^54000$/, TooLargeError, 'Store the document and publish a reference to it.'],
  [
    /^42501$/,
    NotAllowedError,
    'GRANT walpost_publisher TO the login of the application, and call withOrganization(tx, id) first.',
  ],
  [/^42704$/, UnregisteredEventError, 'Register the type and version in walpost.event_types.'],
  [/^(3F000|42P01|42883|42703)$/, NotMigratedError, 'Run walpost migrate on this database.'],
  [/^(40001|40P01)$/, RetryableError, 'Try the whole transaction again, as retryTransaction does.'],
  [/^55000$/, NoRelayError, 'Start walpost with source.messages: true, or use publish.'],
  [/^25P02$/, PublishError, 'A statement of this transaction has failed before: roll it back.'],
];

/** An error with an SQLSTATE as one of these classes. Others, such as those of a connection, stay what they are. */
export function databaseError(error: unknown): unknown {
  if (error instanceof PublishError) return error;
  const found = sqlError(error, 4);
  if (!found) return error;
  if (found.code === '25P01') return new NotInTransactionError();
  const [, Kind, hint] = OF_SQLSTATE.find(([codes]) => codes.test(found.code)) ?? [undefined, PublishError, undefined];
  return new Kind(found.message, { code: found.code, hint: found.hint ?? hint });
}

/**
 * The same for a statement that runs a function of the application: an error of its own, such as a table of the application that
 * is missing, says nothing about walpost. All messages of walpost, and of Postgres about walpost, have its name.
 */
export function commandError(error: unknown): unknown {
  const known = databaseError(error);
  if (!(known instanceof PublishError) || known.message.includes('walpost')) return known;
  if (known instanceof RetryableError || known.code?.startsWith('25')) return known;
  return new PublishError(known.message, { code: known.code, hint: sqlError(error, 4)?.hint });
}

interface SqlError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
}

/** Where libraries put the error of the server: Drizzle, Prisma, TypeORM, Sequelize. */
const INSIDE = ['cause', 'meta', 'driverAdapterError', 'driverError', 'original'] as const;

function sqlError(error: unknown, depth: number): SqlError | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const it = error as Readonly<Record<string, unknown>>;
  for (const name of INSIDE) {
    const inner = depth > 0 ? sqlError(it[name], depth - 1) : undefined;
    if (inner) return inner;
  }
  const code = it['originalCode'] ?? it['code'];
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return undefined;
  const message = it['originalMessage'] ?? it['message'];
  return { code, message: String(message), hint: typeof it['hint'] === 'string' ? it['hint'] : undefined };
}
