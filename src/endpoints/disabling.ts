/**
 * Who is disabled, and why: an endpoint that says that it is gone (410), and one that has accepted nothing for `disable_after`.
 *
 * The function of the database changes nothing when somebody has changed the endpoint after the change that is known here. What
 * it does comes back in the stream as a change like any other, so nothing is done twice.
 */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import type { Logger } from '../observe/log.ts';
import type { FailingLane } from '../pipeline.ts';
import { databaseError } from '../postgres/database-error.ts';
import { SQLSTATE } from '../postgres/sqlstate.ts';
import { stateOf } from '../postgres/storable.ts';
import type { EndpointDirectory, KnownEndpoint } from './directory.ts';

const DISABLE = 'SELECT walpost_internal.disable_failing_endpoint($1, $2, $3, $4::timestamptz) AS disabled';
/** An event waits this long at most before it is first tried; those that wait when a failure begins are missed too. */
const BEFORE_FAILURE_MS = 60_000;
const GONE = 'it answered 410 Gone';

export interface DisablingOptions {
  readonly pool: pg.Pool;
  readonly directory: Pick<EndpointDirectory, 'find'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** By sink, in milliseconds; other sinks have no endpoints. */
  readonly disableAfter: ReadonlyMap<string, number>;
}

export class EndpointDisabling {
  private readonly options: DisablingOptions;
  /** By endpoint, the change after which it was asked for; nothing is asked twice. */
  private readonly asked = new Map<string, string>();
  /** Those of which the log says that a transaction holds them. */
  private readonly held = new Set<string>();

  constructor(options: DisablingOptions) {
    this.options = options;
  }

  /** It says itself that it is gone. What it was sent may have been committed long before, while nothing led. */
  gone(endpointId: string, committedAt: number | null): void {
    const { clock, log } = this.options;
    const before = clock.wallTime() - BEFORE_FAILURE_MS;
    this.disable(endpointId, GONE, Math.min(before, committedAt ?? before)).catch((error: unknown) =>
      log.warn({ endpoint: endpointId }, `an endpoint that is gone cannot be disabled yet: ${messageOf(error)}`),
    );
  }

  /**
   * Disables those that have failed for too long. Each stands alone: one that cannot be disabled now is tried in the next round,
   * and those behind it do not wait for that.
   */
  async round(failing: Iterable<FailingLane>): Promise<void> {
    const { clock, disableAfter } = this.options;
    let failure: WalpostError | undefined;
    for (const { sink, lane, since, reason } of failing) {
      const after = disableAfter.get(sink);
      if (after === undefined || clock.now() - since < after) continue;
      await this.disable(
        lane,
        `it accepted nothing for ${inWords(after)}; the last time ${reason}`,
        clock.wallTime() + since - clock.now() - BEFORE_FAILURE_MS,
      ).catch((error: unknown) => {
        const isItsOwn =
          error instanceof WalpostError && error.code === 'DATABASE' && stateOf(error) !== SQLSTATE.lockNotAvailable;
        if (!isItsOwn) throw error; // those behind it would meet the same
        failure ??= error;
      });
    }
    if (failure) throw failure;
  }

  /** It is disabled or removed: its next change, if any, is another one. */
  ended(endpointId: string): void {
    this.asked.delete(endpointId);
    this.held.delete(endpointId);
  }

  /** `missed`: since when it misses events, in milliseconds since 1970. */
  private async disable(endpointId: string, reason: string, missed: number): Promise<void> {
    const { pool, directory, log } = this.options;
    const endpoint = directory.find(endpointId);
    if (!endpoint || this.asked.get(endpointId) === endpoint.changeId) return;
    this.asked.set(endpointId, endpoint.changeId);
    const missedSince = new Date(missed).toISOString();
    try {
      const { rows } = await pool.query<{ disabled: boolean | null }>(DISABLE, [
        endpointId,
        endpoint.changeId,
        reason,
        missedSince,
      ]);
      const disabled = rows[0]?.disabled ?? null;
      if (disabled === null) {
        this.asked.delete(endpointId);
        return this.tellHeld(endpoint, reason);
      }
      this.held.delete(endpointId);
      if (disabled) log.warn(shown(endpoint, reason), 'an endpoint is disabled: it gets nothing any more');
    } catch (error) {
      this.asked.delete(endpointId);
      throw databaseError(error, 'disabling an endpoint');
    }
  }

  /** Its tenant may change it in a transaction that stays open. */
  private tellHeld(endpoint: KnownEndpoint, reason: string): void {
    if (this.held.has(endpoint.endpointId)) return;
    this.held.add(endpoint.endpointId);
    this.options.log.warn(
      shown(endpoint, reason),
      'an endpoint cannot be disabled yet, because an open transaction holds it; it is tried again',
    );
  }
}

/** What the log says of an endpoint: never the path or the query, which may hold a secret. */
export function shown({ endpointId, sink, organizationId, url }: KnownEndpoint, reason?: string): object {
  return { sink, organizationId, endpoint: endpointId, host: hostOf(url), ...(reason !== undefined && { reason }) };
}

export function hostOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).host : null;
}

function inWords(milliseconds: number): string {
  const hours = milliseconds / 3_600_000;
  if (hours >= 48) return `${Math.round(hours / 24)} days`;
  return hours >= 2 ? `${Math.round(hours)} hours` : `${Math.round(milliseconds / 60_000)} minutes`;
}
