import pg from 'pg';

/** A pool whose connections may break: the query that uses one rejects, and the pool opens another. */
export function openPool(connectionString: string | undefined, max: number, name: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max, application_name: name });
  const ignore = (): void => undefined;
  pool.on('error', ignore);
  // Without a listener of its own a connection that breaks while it is in use ends the process.
  pool.on('connect', (client) => client.on('error', ignore));
  return pool;
}
