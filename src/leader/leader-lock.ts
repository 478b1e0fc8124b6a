/**
 * Exactly one process leads: the one whose session holds the slot's advisory lock.
 *
 *   waiting -> held -> lost | released
 *
 * Waiting asks again and again with pg_try_advisory_lock, one short statement each time. A session that is blocked in
 * pg_advisory_lock holds a snapshot for as long as it waits, so that VACUUM removes nothing and CREATE INDEX CONCURRENTLY
 * does not end; and each wait that times out is an error in the server's log.
 *
 * A process that is stopped, or cut off, keeps its session and with it the lock. So the session has an idle timeout:
 * a holder that does not ping for that long is thrown out by the server (57P05), and the lock is free. The holder counts
 * the same time from its own side, a little earlier (lease.ts). When it may have run out, because a ping was not answered
 * or because this process itself stood still, the lock counts as lost before anything else is done.
 *
 * The lock decides who works. It does not protect what is written: that is the epoch's part (postgres/cursor-store.ts),
 * because between looking at the lock and writing any time can pass.
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
import { type Clock, pause, type Timer } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { leaseLeft, type Moment, momentOf } from './lease.ts';
import { leaderLockKey } from './lock-key.ts';
import { LockSession } from './lock-session.ts';

export interface LeaderLockOptions {
  readonly url: string;
  readonly slot: string;
  /** A holder that is silent for so many milliseconds loses the lock. */
  readonly takeoverAfter: number;
  readonly clock: Clock;
  /** Somebody else holds the lock; called at first, and then every few seconds. Undefined is not known. */
  readonly onWaiting?: (holder: LockHolder | undefined) => void;
}

/** The session that holds the lock. */
export interface LockHolder {
  readonly pid: number;
  /** null for a local socket, or where the role may not see it. */
  readonly address: string | null;
}

/** Distance of two tries, and so the longest that a lock that was given up lies unused. */
export const TURN_MS = 250;
/** The holder is looked up once in so many turns: pg_locks is not free on a busy server. */
const TURNS_BETWEEN_LOOKS = 20;

const TRY = 'SELECT pg_try_advisory_lock($1) AS held';
const HOLDER = `
  SELECT l.pid, host(a.client_addr) AS address
    FROM pg_locks l
         JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
         LEFT JOIN pg_stat_activity a ON a.pid = l.pid
   WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
     AND (l.classid::bigint << 32 | l.objid::bigint) = $1`;

export class LeaderLock implements AsyncDisposable {
  private readonly session: LockSession;
  private readonly takeoverAfter: number;
  private readonly clock: Clock;
  private readonly loss = new AbortController();
  private asked: Moment;
  private timer: Timer | undefined;
  private released = false;

  private constructor(session: LockSession, options: LeaderLockOptions, asked: Moment) {
    this.session = session;
    this.takeoverAfter = options.takeoverAfter;
    this.clock = options.clock;
    this.asked = asked;
    session.ended.addEventListener('abort', () => this.lose(session.ended.reason), { once: true });
    if (session.ended.aborted) this.lose(session.ended.reason);
    this.schedulePing();
  }

  /** Waits until the lock is ours. Rejects when the session ends, or the signal aborts. */
  static async acquire(options: LeaderLockOptions, signal: AbortSignal): Promise<LeaderLock> {
    const { url, takeoverAfter, clock } = options;
    const session = await LockSession.open({ url, idleTimeout: takeoverAfter, clock }, signal);
    try {
      return new LeaderLock(session, options, await waitForTurn(session, options, signal));
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Aborted with LEADERSHIP_LOST when the lock is not surely ours any more; not when it was released. */
  get lost(): AbortSignal {
    return this.loss.signal;
  }

  /** Looks at the clock too: false at once after a standstill, whatever else is in the queue of events. */
  isHeld(): boolean {
    if (this.released || this.lost.aborted) return false;
    if (this.left > 0) return true;
    this.lose(new Error(`this process stood still for ${(this.takeoverAfter / 1000).toFixed(1)} s or longer`));
    return false;
  }

  /** Releases the lock. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.released = true;
    this.timer?.cancel();
    await this.session[Symbol.asyncDispose]();
  }

  private get left(): number {
    return leaseLeft(this.asked, momentOf(this.clock), this.takeoverAfter);
  }

  private schedulePing(): void {
    if (!this.isHeld()) return;
    this.timer = this.clock.schedule(this.takeoverAfter / 3, () => void this.ping());
  }

  private async ping(): Promise<void> {
    if (!this.isHeld()) return;
    const asked = momentOf(this.clock);
    try {
      await this.session.ask('SELECT 1', [], this.left);
    } catch (error) {
      return this.lose(error);
    }
    if (this.isHeld()) this.asked = asked; // an answer that comes after a standstill renews nothing
    this.schedulePing();
  }

  private lose(cause: unknown): void {
    if (this.released || this.lost.aborted) return;
    this.timer?.cancel();
    this.loss.abort(new WalpostError('LEADERSHIP_LOST', { detail: `The lock is gone: ${messageOf(cause)}`, cause }));
    this.session.cut(this.lost.reason);
  }
}

/** Resolves with the moment when the try was made that got the lock. */
async function waitForTurn(session: LockSession, options: LeaderLockOptions, signal: AbortSignal): Promise<Moment> {
  const { clock, slot, takeoverAfter, onWaiting } = options;
  const key = [leaderLockKey(slot).toString()];
  const over = AbortSignal.any([signal, session.ended]);
  for (let turn = 0; ; turn++) {
    over.throwIfAborted();
    const asked = momentOf(clock);
    const [answer] = await session.ask<{ held: boolean }>(TRY, key, takeoverAfter);
    if (answer?.held) return asked;
    if (onWaiting && turn % TURNS_BETWEEN_LOOKS === 0) {
      onWaiting((await session.ask<{ pid: number; address: string | null }>(HOLDER, key, takeoverAfter))[0]);
    }
    await pause(clock, TURN_MS, over);
  }
}
