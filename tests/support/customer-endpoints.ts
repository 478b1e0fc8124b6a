/**
 * Customers with endpoints by the thousand, and one receiver for all of them. Each event of a customer has its number, so an
 * endpoint that misses one, or gets one too early, is found at its arrival.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type pg from 'pg';
import type { TestDatabase } from './database.ts';
import { requestBody } from './request-body.ts';

/** What each event carries: which of its customer it is, from 1 on, and in which write it was committed. */
export interface CustomerPayload {
  readonly n: number;
  readonly write: number;
}

export interface CustomerArrival {
  /** Endpoints count from 0; those of one customer stand together. */
  readonly endpoint: number;
  readonly events: readonly CustomerPayload[];
  /** When the request began, on the clock of `performance.now()`. */
  readonly at: number;
}

interface Body {
  readonly organization_id: string;
  readonly events: readonly { readonly payload: CustomerPayload }[];
}

export class CustomerEndpoints implements AsyncDisposable {
  readonly organizations: readonly string[];
  readonly each: number;
  /** An endpoint lost an event, or got a later one before it. */
  readonly faults: string[] = [];
  /** Those accept a request and never answer. */
  hangs: (endpoint: number) => boolean = () => false;
  /** The status of all others. */
  answer = 204;
  onArrival: (arrival: CustomerArrival) => void = () => undefined;
  private readonly numbers: ReadonlyMap<string, number>;
  private readonly written: number[];
  private readonly arrived: number[];
  private writes = 0;
  private readonly server = createServer((request, response) => void this.handle(request, response));

  private constructor(customers: number, each: number) {
    this.each = each;
    this.organizations = Array.from({ length: customers }, () => randomUUID());
    this.numbers = new Map(this.organizations.map((organization, n) => [organization, n]));
    this.written = Array.from({ length: customers }, () => 0);
    this.arrived = Array.from({ length: customers * each }, () => 0);
  }

  static async start({ customers, each }: { customers: number; each: number }): Promise<CustomerEndpoints> {
    const endpoints = new CustomerEndpoints(customers, each);
    await once(endpoints.server.listen(0, '127.0.0.1'), 'listening');
    return endpoints;
  }

  /** One statement, which takes some seconds for ten thousand. */
  async add(database: TestDatabase, sink: string): Promise<void> {
    await database.query(`UPDATE walpost.settings SET value = 'true' WHERE name = 'endpoints_on_loopback'`);
    await database.query(
      `SELECT walpost.add_endpoint(sink => $4, organization_id => o.id, url => $2 || ((o.n - 1) * $3::int + e.n))
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, n), generate_series(0, $3::int - 1) AS e (n)`,
      [this.organizations, this.url, this.each, sink],
    );
  }

  /** A path of it names an endpoint; without one it is the first endpoint of the customer. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  /** One transaction with an event of each of these customers; returns its number. */
  async write(client: pg.ClientBase, customers: readonly number[]): Promise<number> {
    const write = this.writes++;
    const numbers = customers.map((customer) => (this.written[customer] = (this.written[customer] ?? 0) + 1));
    await client.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload)
       SELECT o, 'a.b', jsonb_build_object('n', n, 'write', $3::int, 'text', repeat('x', 150))
         FROM unnest($1::uuid[], $2::int[]) AS o (o, n)`,
      [customers.map((customer) => this.organizations[customer]), numbers, write],
    );
    return write;
  }

  /** Endpoints that have not had all that was written, but for those that hang. */
  get behind(): number {
    return this.arrived.filter(
      (n, endpoint) => !this.hangs(endpoint) && n < (this.written[Math.floor(endpoint / this.each)] ?? 0),
    ).length;
  }

  /** Requests that hang fail. */
  cutConnections(): void {
    this.server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = performance.now();
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const path = request.url?.slice(1) ?? '';
    const body = await requestBody(request);
    if (body === null) return;
    const { organization_id: organization, events } = JSON.parse(body.toString()) as Body;
    const endpoint = path === '' ? (this.numbers.get(organization) ?? 0) * this.each : Number(path);
    if (this.hangs(endpoint)) return;
    if (this.answer < 300) this.take({ endpoint, events: events.map(({ payload }) => payload), at });
    response.writeHead(this.answer).end();
  }

  private take(arrival: CustomerArrival): void {
    const { endpoint, events } = arrival;
    for (const { n } of events) {
      const before = this.arrived[endpoint] ?? 0;
      if (n > before + 1) this.faults.push(`endpoint ${endpoint} got event ${n} after ${before}`);
      this.arrived[endpoint] = Math.max(before, n);
    }
    this.onArrival(arrival);
  }
}
