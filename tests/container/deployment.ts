/** deploy/compose.yaml in containers of its own: a Postgres with the schema, a receiver, and as many replicas as a test wants. */
import type pg from 'pg';
import { Network, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';
import { newClient } from '../support/client.ts';
import { composeServices, type ComposeService } from '../support/compose-services.ts';
import { Arrivals, LogLines } from './log-lines.ts';
import { Replica } from './replica.ts';
import { ServiceContainer } from './service-container.ts';

export class Deployment implements AsyncDisposable {
  readonly network: StartedNetwork;
  private readonly image: string;
  private readonly services = composeServices(process.env);
  private readonly started: StartedTestContainer[] = [];
  private running: { postgres: StartedTestContainer; receiver: StartedTestContainer; arrivals: Arrivals } | undefined;

  private constructor(image: string, network: StartedNetwork) {
    this.image = image;
    this.network = network;
  }

  /** Resolves when the schema is there and the receiver listens. */
  static async start(image: string): Promise<Deployment> {
    const deployment = new Deployment(image, await new Network().start());
    try {
      await deployment.startServers();
      return deployment;
    } catch (error) {
      await deployment[Symbol.asyncDispose]();
      throw error;
    }
  }

  get postgres(): StartedTestContainer {
    return this.parts.postgres;
  }

  get receiver(): StartedTestContainer {
    return this.parts.receiver;
  }

  get arrivals(): Arrivals {
    return this.parts.arrivals;
  }

  /** A further `walpost run`, which is ready: it leads or stands by. */
  async walpost(): Promise<Replica> {
    const container = this.service('walpost', 9464);
    container.withWaitStrategy(Wait.forHttp('/readyz', 9464).forStatusCode(200));
    const { environment = {}, stop_grace_period: grace = '10s' } = this.definition('walpost');
    const token = environment['WALPOST__HTTP__TOKEN'] ?? '';
    return Replica.of(this.keep(await container.start()), token, Number.parseInt(grace, 10));
  }

  /** A connection, for which the caller answers; a restart of Postgres gives it another port. */
  async connect(): Promise<pg.Client> {
    const url = new URL(this.definition('walpost').environment?.['DATABASE_URL'] ?? '');
    url.hostname = this.postgres.getHost();
    url.port = String(this.postgres.getMappedPort(5432));
    const client = newClient({ connectionString: url.href });
    await client.connect();
    return client;
  }

  async query<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    const client = await this.connect();
    try {
      return (await client.query<R>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.started.map((container) => container.stop()));
    await this.network.stop();
  }

  private get parts(): NonNullable<typeof this.running> {
    if (this.running === undefined) throw new Error('not started');
    return this.running;
  }

  private async startServers(): Promise<void> {
    const server = this.service('postgres', 5432).withWaitStrategy(Wait.forHealthCheck());
    const receiving = this.service('receiver').withWaitStrategy(Wait.forLogMessage(/listening/));
    const [postgres, receiver] = await Promise.all([
      server.start().then((container) => this.keep(container)),
      receiving.start().then((container) => this.keep(container)),
    ]);
    this.keep(await this.service('migrate').withWaitStrategy(Wait.forOneShotStartup()).start());
    this.running = { postgres, receiver, arrivals: new Arrivals(await LogLines.of(receiver)) };
  }

  private keep(container: StartedTestContainer): StartedTestContainer {
    this.started.push(container);
    return container;
  }

  private service(name: string, port?: number): ServiceContainer {
    return new ServiceContainer(name, this.definition(name), this.network, port);
  }

  private definition(name: string): ComposeService {
    const service = this.services.get(name);
    if (service === undefined) throw new Error(`deploy/compose.yaml has no service ${name}`);
    if (name === 'postgres') return service;
    return { ...service, image: this.image, healthcheck: undefined };
  }
}
