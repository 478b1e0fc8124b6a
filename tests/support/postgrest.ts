/**
 * What PostgREST does with `POST /rest/v1/rpc/<function>`, against a real Postgres: it verifies the token, switches to the
 * role in it, hands the claims on, calls the function with the names and types of its arguments, and answers as PostgREST
 * does. https://docs.postgrest.org/en/stable/references/api/functions.html
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { jwtVerify, SignJWT } from 'jose';
import type pg from 'pg';
import { newPool } from './client.ts';

const KEY = new TextEncoder().encode('a secret of at least thirty-two bytes, for tests');

interface Answer {
  readonly status: number;
  readonly body: string;
}

const FUNCTION = `
  SELECT p.proretset AS many, a.names, a.types FROM pg_proc AS p
    CROSS JOIN LATERAL (SELECT p.proargnames[:p.pronargs] AS names,
      ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (t, n) ORDER BY n) AS types) AS a
   WHERE p.pronamespace = $1::text::regnamespace AND p.proname = $2 AND $3::text[] <@ a.names`;

export class PostgrestStandIn implements AsyncDisposable {
  readonly url: string;
  private readonly server: Server;
  private readonly pool: pg.Pool;
  private readonly schemas: readonly string[];

  private constructor(server: Server, pool: pg.Pool, schemas: readonly string[]) {
    this.server = server;
    this.pool = pool;
    this.schemas = schemas;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request, response) => {
      void this.answer(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(body);
      });
    });
  }

  /** `authenticator` is a login that may switch to the roles in the tokens. */
  static async start(authenticator: string, schemas: readonly string[], port = 0): Promise<PostgrestStandIn> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return new PostgrestStandIn(server, newPool({ connectionString: authenticator }), schemas);
  }

  static token(claims: Record<string, unknown>): Promise<string> {
    return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h').sign(KEY);
  }

  private async answer(request: IncomingMessage): Promise<Answer> {
    const schema = String(request.headers['content-profile'] ?? this.schemas[0]);
    if (!this.schemas.includes(schema)) {
      return failed(406, 'PGRST106', `The schema must be one of the following: ${this.schemas.join(', ')}`);
    }
    let claims: Record<string, unknown>;
    try {
      claims = (await jwtVerify(String(request.headers.authorization).replace('Bearer ', ''), KEY)).payload;
    } catch {
      return failed(401, 'PGRST301', 'No suitable key or wrong key type');
    }
    const name = /^\/rest\/v1\/rpc\/(\w+)$/.exec(request.url ?? '')?.[1] ?? '';
    return this.call({ schema, name, claims, body: await text(request) });
  }

  private async call(it: {
    schema: string;
    name: string;
    claims: Record<string, unknown>;
    body: string;
  }): Promise<Answer> {
    const client = await this.pool.connect().catch(() => undefined);
    if (client === undefined) return failed(503, 'PGRST001', 'Database client error. Retrying the connection.');
    try {
      await client.query('BEGIN');
      const given = Object.keys(JSON.parse(it.body) as object);
      const found = await client.query<{ many: boolean; names: string[]; types: string[] }>(FUNCTION, [
        it.schema,
        it.name,
        given,
      ]);
      const [known] = found.rows;
      if (!known)
        return failed(404, 'PGRST202', `Could not find the function ${it.schema}.${it.name} in the schema cache`);
      await client.query(
        `SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('search_path', $3, true)`,
        [it.claims['role'], JSON.stringify(it.claims), `"${it.schema}", "public"`],
      );
      const columns = given.map((name) => `"${name}" ${known.types[known.names.indexOf(name)]}`).join(', ');
      const list = given.map((name) => `"${name}" := body."${name}"`).join(', ');
      const { rows } = await client.query<{ result: string }>(
        `SELECT coalesce(${known.many ? 'json_agg(it)' : `(json_agg(it)->0)`}, 'null')::text AS result
           FROM (SELECT $1::json AS json_data) AS payload, LATERAL json_to_record(payload.json_data) AS body (${columns}),
                LATERAL "${it.schema}"."${it.name}"(${list}) AS it`,
        [it.body],
      );
      await client.query('COMMIT');
      return { status: 200, body: rows[0]?.result ?? 'null' };
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      const { code = '', message, detail = null, hint = null } = error as pg.DatabaseError;
      return { status: code === '42501' ? 403 : 400, body: JSON.stringify({ code, message, details: detail, hint }) };
    } finally {
      client.release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.pool.end();
  }
}

function failed(status: number, code: string, message: string): Answer {
  return { status, body: JSON.stringify({ code, message, details: null, hint: null }) };
}
