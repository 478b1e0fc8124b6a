/**
 * The secrets of endpoints, read when the first batch needs them and again after a change has renewed them.
 *
 * The stream can bring a commit before other sessions see it. So a read says up to which change of the endpoint it sees, and one
 * that does not see the change yet is repeated: what commits behind a renewal is signed with the new secret.
 */
import type pg from 'pg';
import type { Clock, Timer } from '../clock.ts';
import { databaseError } from '../postgres/database-error.ts';

const READ = `
  SELECT a.endpoint_id AS id,
         (SELECT max(c.change_id) FROM walpost.endpoint_changes AS c WHERE c.endpoint_id = a.endpoint_id)::text AS version,
         coalesce((SELECT json_agg(json_build_object('secret', s.secret, 'left', extract(epoch FROM s.expires_at - clock_timestamp()) * 1000)
                                   ORDER BY s.secret_id DESC)::text
                     FROM walpost.endpoint_secrets AS s WHERE s.endpoint_id = a.endpoint_id), '[]') AS secrets
    FROM unnest($1::uuid[]) AS a (endpoint_id)`;

const READ_AGAIN_MS = 20;

/** As it is read. The server says how long it is still good, so that its clock need not agree with ours. */
interface SecretRow {
  readonly secret: string;
  /** Milliseconds; null for the newest. */
  readonly left: number | null;
}

interface Secret {
  readonly secret: string;
  /** On our clock; null for the newest. */
  readonly until: number | null;
}

interface Known {
  readonly version: string;
  readonly secrets: readonly Secret[];
}

interface Question {
  readonly endpointId: string;
  readonly version: string;
  readonly answer: (known: Known) => void;
  readonly fail: (error: unknown) => void;
}

export class EndpointSecrets {
  private readonly pool: pg.Pool;
  private readonly clock: Clock;
  private readonly known = new Map<string, Known>();
  private questions: Question[] = [];
  private reading = false;
  private again: Timer | undefined;
  private closed = false;

  constructor(pool: pg.Pool, clock: Clock) {
    this.pool = pool;
    this.clock = clock;
  }

  /** Those that sign now, the newest first; of the version, or newer. None when the endpoint was removed and they are pruned. */
  async of(endpointId: string, version: string): Promise<readonly string[]> {
    let known = this.known.get(endpointId);
    if (known?.version !== version) {
      known = await new Promise<Known>((answer, fail) => this.ask({ endpointId, version, answer, fail }));
      this.known.set(endpointId, known);
    }
    const now = this.clock.now();
    return known.secrets.filter(({ until }) => until === null || until > now).map(({ secret }) => secret);
  }

  /** Nothing that it has to sign is left. */
  forget(endpointId: string): void {
    this.known.delete(endpointId);
  }

  close(): void {
    this.closed = true;
    this.again?.cancel();
    for (const { fail } of this.questions.splice(0)) fail(new Error('the connection has ended'));
  }

  private ask(question: Question): void {
    if (this.closed) return question.fail(new Error('the connection has ended'));
    this.questions.push(question);
    if (this.reading || this.again) return;
    this.reading = true;
    queueMicrotask(() => void this.readAll()); // what is asked in the same turn goes together
  }

  private async readAll(): Promise<void> {
    const asked = this.questions.splice(0);
    const early: Question[] = [];
    try {
      const ids = [...new Set(asked.map(({ endpointId }) => endpointId))];
      const { rows } = await this.pool.query<{ id: string; version: string | null; secrets: string }>(READ, [ids]);
      const found = new Map(rows.map((row) => [row.id, row]));
      for (const question of asked) {
        const { version = null, secrets = '[]' } = found.get(question.endpointId) ?? {};
        if (version !== null && BigInt(version) < BigInt(question.version)) early.push(question);
        else question.answer({ version: question.version, secrets: this.secretsOf(secrets) });
      }
    } catch (error) {
      for (const { fail } of asked) fail(databaseError(error, 'reading secrets of endpoints'));
    }
    this.reading = false;
    if (early.length > 0) this.readLater(early);
    else if (this.questions.length > 0) this.ask(this.questions.pop() as Question);
  }

  private secretsOf(json: string): readonly Secret[] {
    const now = this.clock.now();
    return (JSON.parse(json) as SecretRow[]).map(({ secret, left }) => ({
      secret,
      until: left === null ? null : now + left,
    }));
  }

  private readLater(early: readonly Question[]): void {
    if (this.closed) {
      for (const { fail } of early) fail(new Error('the connection has ended'));
      return;
    }
    this.questions.push(...early);
    this.again = this.clock.schedule(READ_AGAIN_MS, () => {
      this.again = undefined;
      this.reading = true;
      void this.readAll();
    });
  }
}
