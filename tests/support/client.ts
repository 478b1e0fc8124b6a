import pg from 'pg';

/** walpost warns of sessions of the owner that are no programs of its own. */
const NAME = 'walpost test';

/**
 * A connection for a test. It may outlive what the test is about: when the server or the database goes first, as after a
 * test that failed halfway, neither the connection nor a query that nobody waits for any more ends the run as an
 * unhandled error. Whoever does wait for the query still sees it fail.
 */
export function newClient(config: string | pg.ClientConfig): pg.Client {
  const given = typeof config === 'string' ? { connectionString: config } : config;
  const client = new pg.Client({ fallback_application_name: NAME, ...given });
  client.on('error', () => undefined);
  const query = client.query.bind(client) as (...given: unknown[]) => unknown;
  const watched = (...values: unknown[]): unknown => {
    const answer = query(...values);
    if (answer instanceof Promise) answer.catch(() => undefined);
    return answer;
  };
  return Object.assign(client, { query: watched });
}

/** Several of them. */
export function newPool(config: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool({ fallback_application_name: NAME, ...config });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}
