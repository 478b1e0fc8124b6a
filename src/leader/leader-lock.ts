/**
 * Exactly one process leads: the one whose session holds the slot's advisory lock.
 *
 *   waiting -> held -> lost | released
 *
 * Waiting asks again and again with pg_try_advisory_lock, one short statement each time. A session that is blocked in
 * pg_advisory_lock holds a snapshot for as long as it waits, so that VACUUM removes nothing and CREATE INDEX CONCURRENTLY
 * does not end; and each wait that times out is an error in the server's log.
 *
 * A process that is stopped, or cut off, keeps its session and with it the lock. So the session has an idle timeout: when the
 * holder does not ping for that long, the server ends the session (57P05), and the lock is free. The holder measures the same
 * time itself, from a little earlier (lease.ts). When that time may have run out, because a ping was not answered or because
 * this process was suspended, the lock counts as lost before anything else is done.
 *
 * Any role may take an advisory lock, this one too. So the holder is looked up (walpost.leader_lock). A holder that cannot lead
 * is reported as a problem, and the process does not count as a standby.
 *
 * The lock decides who works. It does not protect what is written, because any time can pass between checking the lock and
 * writing. That is what the epoch is for (postgres/cursor/cursor-store.ts).
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
import type pg from 'pg';
import { type Clock, pause, type Timer } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { leaseLeft, type LeaseTime, leaseTimeOf } from './lease.ts';
import { HOLDER, type LockHolder } from './lock-holder.ts';
import { leaderLockKey } from './lock-key.ts';
import { LEADER_APPLICATION_NAME, LockSession } from './lock-session.ts';

export interface LeaderLockOptions {
  readonly url: string;
  readonly slot: string;
  /** Milliseconds of silence after which a holder loses the lock. */
  readonly takeoverAfter: number;
  readonly clock: Clock;
  /** Somebody else holds the lock; called at first, and then every few seconds. Undefined is not known. */
  readonly onWaiting?: (holder: LockHolder | undefined) => void;
}

/** Time between two tries: the maximum time for which a released lock stays unused. */
export const TURN_MS = 250;
/** The holder is looked up only in one turn of this many, because pg_locks is expensive on a busy server. */
const TURNS_PER_LOOKUP = 20;
/** The server would cut it, with a notice. */
const LONGEST_NAME = 63;

/** The session has the leader's name as soon as it has the lock: walpost.standbys lists the others. */
const TRY = `
  WITH turn AS MATERIALIZED (SELECT pg_try_advisory_lock($1) AS held)
  SELECT held, CASE WHEN held THEN set_config('application_name', '${LEADER_APPLICATION_NAME}', false) END FROM turn`;

export class LeaderLock implements AsyncDisposable {
  private readonly session: LockSession;
  private readonly takeoverAfter: number;
  private readonly clock: Clock;
  private readonly loss = new AbortController();
  private askedAt: LeaseTime;
  private timer: Timer | undefined;
  private released = false;

  private constructor(session: LockSession, options: LeaderLockOptions, askedAt: LeaseTime) {
    this.session = session;
    this.takeoverAfter = options.takeoverAfter;
    this.clock = options.clock;
    this.askedAt = askedAt;
    session.ended.addEventListener('abort', () => this.lose(session.ended.reason), { once: true });
    if (session.ended.aborted) this.lose(session.ended.reason);
    this.schedulePing();
  }

  /** Waits until the lock is ours. Rejects when the session ends, or the signal aborts. */
  static async acquire(options: LeaderLockOptions, signal: AbortSignal): Promise<LeaderLock> {
    const { url, slot, takeoverAfter, clock } = options;
    const applicationName = `walpost standby ${slot}`.slice(0, LONGEST_NAME);
    const session = await LockSession.open({ url, applicationName, idleTimeout: takeoverAfter, clock }, signal);
    try {
      return new LeaderLock(session, options, await waitForTurn(session, options, signal));
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Aborted with LEADERSHIP_LOST when the lock may no longer be held; not when it was released. */
  get lost(): AbortSignal {
    return this.loss.signal;
  }

  /** Reads the clock too: false at once after a suspension, before any queued callback runs. */
  isHeld(): boolean {
    if (this.released || this.lost.aborted) return false;
    if (this.left > 0) return true;
    this.lose(new Error(`this process was suspended for ${(this.takeoverAfter / 1000).toFixed(1)} s or longer`));
    return false;
  }

  /** Releases the lock. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.released = true;
    this.timer?.cancel();
    await this.session[Symbol.asyncDispose]();
  }

  private get left(): number {
    return leaseLeft(this.askedAt, leaseTimeOf(this.clock), this.takeoverAfter);
  }

  private schedulePing(): void {
    if (!this.isHeld()) return;
    this.timer = this.clock.schedule(this.takeoverAfter / 3, () => void this.ping());
  }

  private async ping(): Promise<void> {
    if (!this.isHeld()) return;
    const askedAt = leaseTimeOf(this.clock);
    try {
      await this.session.ask('SELECT 1', [], this.left);
    } catch (error) {
      return this.lose(error);
    }
    if (this.isHeld()) this.askedAt = askedAt; // an answer that is read after a suspension renews nothing
    this.schedulePing();
  }

  private lose(cause: unknown): void {
    if (this.released || this.lost.aborted) return;
    this.timer?.cancel();
    this.loss.abort(new WalpostError('LEADERSHIP_LOST', { detail: `The lock is gone: ${messageOf(cause)}`, cause }));
    this.session.cut(this.lost.reason);
  }
}

/** Resolves with the time at which the successful try was sent. */
async function waitForTurn(session: LockSession, options: LeaderLockOptions, signal: AbortSignal): Promise<LeaseTime> {
  const { clock, slot, takeoverAfter, onWaiting } = options;
  const key = [leaderLockKey(slot).toString()];
  const over = AbortSignal.any([signal, session.ended]);
  for (let turn = 0; ; turn++) {
    over.throwIfAborted();
    const askedAt = leaseTimeOf(clock);
    const [answer] = await session.ask<{ held: boolean }>(TRY, key, takeoverAfter);
    if (answer?.held) return askedAt;
    if (onWaiting && turn % TURNS_PER_LOOKUP === 0) {
      onWaiting((await session.ask<LockHolder & pg.QueryResultRow>(HOLDER, [slot], takeoverAfter))[0]);
    }
    await pause(clock, TURN_MS, over);
  }
}
