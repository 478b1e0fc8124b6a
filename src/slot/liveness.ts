/**
 * When to send a status, and when silence means that the connection is dead.
 *
 * The server drops a standby that sends nothing for `wal_sender_timeout`, so a status is sent every third of it. These
 * statuses keep the server from asking for one, and a healthy idle server then sends nothing at all, so each of them asks for
 * a reply. Twice the timeout without a byte is a dead connection: a pulled cable, a stopped walsender, a firewall that dropped
 * its state.
 *
 * Only time in which this end could receive counts as silence. While the socket is paused nothing can arrive. Time in which the
 * process did not run (a blocked event loop, a suspended machine) counts as one planned interval at most.
 *
 * These are pure functions: the caller owns the clock and the timer, and calls `evaluate` when `nextCheck` has passed.
 */
export interface LivenessLimits {
  /** A status leaves this often, in milliseconds. */
  readonly statusEvery: number;
  /** Silence of this length is death. */
  readonly silenceLimit: number;
}

/** Used where the server has its timeout switched off. */
const TIMEOUT_WHEN_DISABLED = 30_000;

export function livenessLimits(walSenderTimeout: number): LivenessLimits {
  const timeout = walSenderTimeout > 0 ? walSenderTimeout : TIMEOUT_WHEN_DISABLED;
  return { statusEvery: timeout / 3, silenceLimit: timeout * 2 };
}

export interface Liveness {
  /** When this was evaluated. */
  readonly checkedAt: number;
  /** Silence listened to so far. */
  readonly silence: number;
  /** When the last periodic status left. */
  readonly statusAt: number;
  /** How long to wait before the next check. */
  readonly nextCheck: number;
}

export interface Senses {
  readonly now: number;
  /** When the last byte arrived. */
  readonly heardAt: number;
  readonly paused: boolean;
}

export interface LivenessVerdict {
  readonly state: Liveness;
  readonly sendStatus: boolean;
  readonly dead: boolean;
}

export function startLiveness(now: number, limits: LivenessLimits): Liveness {
  return { checkedAt: now, silence: 0, statusAt: now, nextCheck: limits.statusEvery };
}

export function evaluate(before: Liveness, senses: Senses, limits: LivenessLimits): LivenessVerdict {
  const { now } = senses;
  const silence = silenceAt(before, senses);
  const sendStatus = now - before.statusAt >= limits.statusEvery;
  const statusAt = sendStatus ? now : before.statusAt;
  const untilStatus = statusAt + limits.statusEvery - now;
  const untilDeath = senses.paused ? untilStatus : limits.silenceLimit - silence;
  return {
    state: { checkedAt: now, silence, statusAt, nextCheck: Math.max(1, Math.min(untilStatus, untilDeath)) },
    sendStatus,
    dead: silence >= limits.silenceLimit,
  };
}

function silenceAt(before: Liveness, { now, heardAt, paused }: Senses): number {
  if (paused) return 0;
  const listened = Math.min(now - before.checkedAt, before.nextCheck);
  if (heardAt >= before.checkedAt) return Math.min(now - heardAt, listened);
  return before.silence + listened;
}
