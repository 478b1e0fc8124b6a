/** The functions of endpoints, as a session calls them. */

/** A client, or a test database. */
export interface Session {
  query(text: string, values?: unknown[]): Promise<unknown>;
}

export interface NewEndpoint {
  readonly id: string;
  readonly secret: string;
}

export const workFor = (session: Session, organization: string): Promise<unknown> =>
  session.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);

export async function addEndpoint(
  session: Session,
  organization: string,
  url = 'https://hooks.example.com/in',
): Promise<NewEndpoint> {
  const added = await session.query(
    `SELECT endpoint_id::text AS id, secret FROM walpost.add_endpoint('hooks', $1, $2)`,
    [organization, url],
  );
  const [endpoint] = (Array.isArray(added) ? added : (added as { rows: unknown[] }).rows) as NewEndpoint[];
  if (!endpoint) throw new Error('add_endpoint returned nothing');
  return endpoint;
}

/** What a call is refused with. */
export const refusal = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'it was accepted',
    (error: unknown) => error,
  );
