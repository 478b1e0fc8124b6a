/**
 * What the client needs of a database library: a client of node-postgres has it, and PGlite. It must be inside a transaction,
 * so a pool is refused: each of its queries may take another connection, and commits by itself.
 */
export interface Transaction {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
  /** A pool of node-postgres has this. */
  readonly totalCount?: never;
}

/** Runs one statement; each row has the columns that the statement names. */
export async function rowsOf<Row>(tx: Transaction, text: string, values: unknown[]): Promise<readonly Row[]> {
  if (tx.totalCount !== undefined) {
    throw new TypeError('this is a pool: give the client that has begun the transaction');
  }
  return (await tx.query(text, values)).rows as readonly Row[];
}

/**
 * The rest of the transaction works for this organization: row-level security shows and accepts rows of no other. It ends
 * with the transaction, so a pooled connection carries nothing over.
 */
export async function withOrganization(tx: Transaction, organizationId: string): Promise<void> {
  await rowsOf(tx, `SELECT set_config('app.current_org_id', $1, true)`, [organizationId]);
}
