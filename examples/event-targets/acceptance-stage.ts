/** The example with handles for trouble: the network to the database, the database, the keys and the targets. */
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import type { TcpProxy } from '../../tests/support/tcp-proxy.ts';
import { Example } from '../support/example.ts';
import { openPool } from '../support/pool.ts';
import type { Publish } from './events.ts';
import { publishAsMembers } from './members.ts';
import type { RealtimeProject } from './realtime-project.ts';
import type { SlackWorkspace } from './slack-workspace.ts';

/** Minutes of walpost.yaml become seconds; and thousands of runs are no news. */
const SCALED = { WALPOST__DELIVERY__BACKOFF: '[1s, 1s, 2s, 4s]', WALPOST__LOG__LEVEL: 'error', N8N_QUIET: 'yes' };
const LOOK_MS = 50;

export interface StageParts {
  /** Between walpost and Postgres. */
  readonly network: TcpProxy;
  readonly slack: SlackWorkspace;
  readonly realtime: RealtimeProject;
}

export class Stage implements AsyncDisposable {
  readonly network: TcpProxy;
  readonly slack: SlackWorkspace;
  readonly realtime: RealtimeProject;
  readonly example: Example;
  /** The application. */
  readonly publish: Publish;
  /** Its login to the database, without the REST door. */
  readonly pool: pg.Pool;
  private readonly operator: pg.Pool;
  private key: string;

  private constructor({ network, slack, realtime }: StageParts, example: Example, key: string) {
    this.network = network;
    this.slack = slack;
    this.realtime = realtime;
    this.example = example;
    this.key = key;
    this.publish = publishAsMembers(this.rest);
    this.pool = openPool(example.env['APP_URL'], 2, 'bookings');
    this.operator = openPool(example.env['OPERATOR_URL'], 2, 'acceptance');
  }

  static async open(parts: StageParts): Promise<Stage> {
    const { network, slack, realtime } = parts;
    const key = realtime.addKey();
    const addresses = { SUPABASE_URL: realtime.url, SUPABASE_SERVICE_ROLE_KEY: key, SLACK_WEBHOOK_URL: slack.url };
    const example = await Example.open(
      import.meta.dirname,
      ['N8N_PORT', 'REST_PORT'],
      { ...addresses, ...SCALED },
      (url) => {
        network.redirect({ host: '127.0.0.1', port: Number(new URL(url).port) });
        return network.url(url);
      },
    );
    const stage = new Stage(parts, example, key);
    try {
      await example.start('n8n', 'n8n.ts', 'N8N_PORT');
      await example.start('rest', 'rest.ts', 'REST_PORT');
      await example.startWalpost();
      return stage;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  get rest(): string {
    return `http://127.0.0.1:${this.example.env['REST_PORT']}`;
  }

  /** How n8n answers its next requests, of all events or of one. */
  async fault(status: number, times: number, key?: string): Promise<void> {
    const body = JSON.stringify({ status, times, key });
    await fetch(`http://127.0.0.1:${this.example.env['N8N_PORT']}/faults`, { method: 'POST', body });
  }

  /** When n8n refused this event. */
  async attempts(key: string): Promise<readonly number[]> {
    const answer = await fetch(`http://127.0.0.1:${this.example.env['N8N_PORT']}/attempts`);
    return ((await answer.json()) as Record<string, number[]>)[key] ?? [];
  }

  /** The old key stops to be valid before walpost knows the new one, which is the harder way around. */
  async rotateKey(beforeDeployment: () => Promise<void>): Promise<void> {
    const next = this.realtime.addKey();
    this.realtime.revokeKey(this.key);
    await beforeDeployment();
    this.key = next;
    await this.example.redeploy('walpost', { SUPABASE_SERVICE_ROLE_KEY: next });
  }

  async rows<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.operator.query<Row>(sql, values)).rows;
  }

  /** Resolves, with the milliseconds it took, when n8n and Realtime have all of these events. */
  async arrived(ids: readonly string[], withinMs: number): Promise<number> {
    const begun = performance.now();
    for (;;) {
      const missing = await this.missing(ids);
      if (missing === 0) return performance.now() - begun;
      if (performance.now() - begun > withinMs)
        throw new Error(`${missing} events are missing after ${withinMs / 1000} s`);
      await pause(LOOK_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.end();
    await this.operator.end();
    await this.example[Symbol.asyncDispose]();
  }

  private async missing(ids: readonly string[]): Promise<number> {
    const seen = new Set(this.realtime.broadcasts.map(({ eventId }) => eventId));
    const left = ids.filter((id) => !seen.has(id));
    if (left.length === 0) return 0;
    const runs = await this.rows('SELECT FROM app.workflow_runs WHERE event_id = ANY ($1)', [left]);
    return left.length - runs.length;
  }
}
