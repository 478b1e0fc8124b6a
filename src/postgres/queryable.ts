import { databaseError } from './database-error.ts';

/** The part of a pg pool or client that asks a question. */
export interface Queryable {
  query<R extends object>(text: string, values?: unknown[]): Promise<{ rows: R[] }>;
}

/** The rows of the answer; what the server or the connection says against it is an error with a code of ours. */
export async function ask<R extends object>(db: Queryable, text: string, values: unknown[] = []): Promise<R[]> {
  try {
    return (await db.query<R>(text, values)).rows;
  } catch (error) {
    throw databaseError(error);
  }
}
